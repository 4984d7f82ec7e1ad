"""What an extension knows of a model: its attention layers and the sets of frequencies that they rotate with."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from longspan.compute.latent import LatentWidths
from longspan.mask.bidirectional import Bidirectional
from longspan.mask.causal import Causal
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.anatomy.model_spectrum import ModelSpectrum
from longspan.pretrained.running.rotary import Source
from longspan.slots import Direction


@dataclass(frozen=True, eq=False)
class Layer:
    """One attention layer.

    Arguments:
        module: the module that calls the attention function.
        source: its frequencies; None where it does not rotate.
        layout: its channels; None where it does not rotate.
        local_size: sliding window or chunk, tokens; None where it sees everything.
        implementation: the attention function that it calls when it is not extended.
        num_heads, num_kv_heads: heads of its queries and of its keys.
        opaque: whether no known layout explains its rotation. Only the model itself can then rotate its keys.
        steerable: whether it rotates with other frequencies when they are put in the place of its source's.
        gains: whether a gain of its source reaches its scores.
        latent: widths of the latents that it caches and expands in each call; None where it caches keys and values.
        causal: whether a token sees those before it alone, and not those after it as well, as in an encoder.
        answers: arguments by which it answers slots itself: "softcap", "s_aux" (attention sinks), "position_bias".
    """

    module: nn.Module
    source: Source | None
    layout: ChannelLayout | None
    local_size: int | None
    implementation: str
    num_heads: int
    num_kv_heads: int
    opaque: bool = False
    steerable: bool = True
    gains: bool = True
    latent: LatentWidths | None = None
    causal: bool = True
    answers: tuple[str, ...] = ()

    @property
    def direction(self) -> Direction:
        """Which tokens it sees: those before a token, or those after it as well."""
        return Causal() if self.causal else Bidirectional()

    @property
    def masks_band(self) -> bool:
        """Whether its own function is given a mask of queries × keys because of a window."""
        return self.local_size is not None and self.implementation == "sdpa"

    @property
    def absorbs(self) -> bool:
        """Whether attention on its latents can take the place of its own function, which gives no weights back."""
        return self.latent is not None and self.implementation == "sdpa"

    @property
    def config(self) -> PreTrainedConfig:
        """The config that its module holds now."""
        return self.module.__dict__["config"]

    def spectrum(self) -> ModelSpectrum | None:
        """Return its rotation; None where it does not rotate."""
        if self.source is None or self.layout is None:
            return None
        return model_spectrum(self.source, self.layout)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What an extension must know of a model.

    Arguments:
        base: the text model, which is given positions and cache.
        layers: its attention layers in the order of their calls.
        own_masks: whether the model works on its masks itself, so that it must be given real ones.
    """

    base: PreTrainedModel
    layers: tuple[Layer, ...]
    own_masks: bool = False

    @property
    def causal(self) -> bool:
        """Whether no layer sees later tokens."""
        return all(layer.causal for layer in self.layers)

    def sources(self) -> tuple[Source, ...]:
        """Return all sets of frequencies that layers rotate with."""
        return tuple(dict.fromkeys(layer.source for layer in self.layers if layer.source))


def model_spectrum(source: Source, layout: ChannelLayout) -> ModelSpectrum:
    """Return the frequencies and the gain of a source as a rotation."""
    own = tuple(source.frequencies.double().tolist())
    return ModelSpectrum(own=own, own_gain=source.gain, layout=layout.pairing, partial=layout.partial)
