"""A mixer in the place of an attention module of transformers, and its state in the model's cache."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from longspan.compute.mix import mix
from longspan.compute.places import PADDING, Places
from longspan.errors import RefusalError
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.learned import LEARNED, Learned
from longspan.pretrained.running.mask import LazyMask
from longspan.pretrained.states.state_layer import StateLayer, state_layer
from longspan.slots import FollowingMixer, Mixer

FEED_FORWARD = "mlp"
"""The name that transformers gives to the feed-forward network of a layer."""


class MixerLayer(StateLayer):
    """One layer of a cache that holds a mixer's state."""

    holds = "a mixer's state"


class MixerModule(nn.Module):
    """A mixer with its learned numbers; it is called as attention modules of transformers are.

    Arguments:
        weights: the mixer's, at the start of training.
        layer_idx: of the layer in the model's cache.
    """

    passes: ForwardPasses | None = None
    observed: Tensor | None = None
    """In training, what the numbers of a `FollowingMixer` follow: vectors of the tokens of the last forward pass."""
    penalty: Tensor | None = None
    """The sum of what these tokens add to the loss."""

    def __init__(self, mixer: Mixer, weights: dict[str, Tensor], layer_idx: int) -> None:
        super().__init__()
        self.mixer, self.layer_idx = mixer, layer_idx
        self.add_module(LEARNED, Learned({f"{mixer.slot}.{name}": value for name, value in weights.items()}))
        for parameter in self.following.values():
            parameter.requires_grad_(False)

    @property
    def matrices(self) -> dict[nn.Parameter, int]:
        """Its parameters that decay, with the number of axes of their results, as in `Mixer.matrices`."""
        return {self._own(name): axes for name, axes in self.mixer.matrices.items()}

    @property
    def following(self) -> dict[str, nn.Parameter]:
        """Its parameters that follow what the layer reads, and take no gradient."""
        names = self.mixer.following if isinstance(self.mixer, FollowingMixer) else ()
        return {name: self._own(name) for name in names}

    @property
    def weights(self) -> dict[str, Tensor]:
        """Its learned numbers, named as in `Mixer.initial_weights`."""
        learned = self._modules[LEARNED]
        assert isinstance(learned, Learned)
        return {name.partition(".")[2]: value for name, value in learned.weights().items()}

    def _own(self, name: str) -> nn.Parameter:
        return self.get_parameter(f"{LEARNED}.{self.mixer.slot}.{name}")

    def forward(
        self, hidden_states: Tensor, attention_mask: Any = None, past_key_values: Any = None, **_: Any
    ) -> tuple[Tensor, None]:
        """Mix a layer's input; padding and packed documents are read off the model's mask.

        Errors: RefusalError for a mask of pairs, a cache that holds no states, and a document that begins in a cache.
        """
        weights = self.weights
        x = hidden_states.to(next(iter(weights.values())).dtype)
        layer = None if past_key_values is None else self._layer_of(past_key_values, x)
        documents, padding = self._documents(attention_mask, x, layer is not None and layer.state is not None)
        with torch.autocast(x.device.type, enabled=False):
            y, state = mix(
                x,
                self.mixer,
                weights,
                initial_state=None if layer is None else layer.state,
                documents=documents,
                padding=padding,
                output_final_state=layer is not None,
            )
            if self.training and isinstance(self.mixer, FollowingMixer):
                self.observed = self.mixer.observed(x.flatten(0, 1) if padding is None else x[~padding], weights)
                self.penalty = self.mixer.penalty(self.observed, weights).sum()
        if layer is not None:
            layer.state = state
        return y.to(hidden_states.dtype), None

    def _layer_of(self, cache: Cache, x: Tensor) -> "MixerLayer":
        """Count the new tokens in the cache, and return its layer."""
        found = state_layer(cache, self.layer_idx, MixerLayer)
        count = x.new_zeros(len(x), 1, x.shape[1], 0)
        found.update(count, count)
        return found

    def _documents(self, mask: Any, x: Tensor, goes_on: bool) -> tuple[Tensor | None, Tensor | None]:
        if mask is None:
            return None, None
        if not isinstance(mask, LazyMask):
            raise RefusalError("a mixer has no pairs of tokens: give a mask of (batch, tokens), or none")
        queries, keys = mask.places(self.passes and self.passes.current)
        if goes_on:
            _check_same(queries, keys)
        document = queries.document.expand(len(x), -1)
        padding = document == PADDING
        several = (document.clamp(min=0) != document.clamp(min=0)[:, :1]).any()
        return document.clamp(min=0) if several else None, padding if padding.any() else None


def _check_same(queries: Places, keys: Places) -> None:
    """Refuse a document that begins with these queries: the state is that of another one."""
    count, before = queries.document.shape[1], keys.document.shape[1] - queries.document.shape[1]
    if not before or not count:
        return
    known = keys.document[:, :before].max(1).values
    first = torch.where(queries.document == PADDING, 2**62, queries.document).min(1).values
    if ((known != PADDING) & (first != 2**62) & (first != known)).any():
        raise RefusalError("a new document begins after what the cache holds: start with an empty cache")


def mixer_modules(model: nn.Module) -> Iterator[MixerModule]:
    """Yield the mixers of a model, layer by layer."""
    yield from (module for module in model.modules() if isinstance(module, MixerModule))


def penalties(model: nn.Module) -> Tensor | float:
    """Return what the last forward pass in training adds to the loss: the sum over layers and tokens."""
    found = [module.penalty for module in mixer_modules(model) if module.penalty is not None]
    return torch.stack(found).sum() if found else 0.0


def follows(model: nn.Module) -> bool:
    """Return whether a layer has numbers that follow what it reads."""
    return any(isinstance(module.mixer, FollowingMixer) for module in mixer_modules(model))


def num_mixers(model: nn.Module) -> int:
    """Return the number of layers that have a mixer."""
    return sum(1 for _ in mixer_modules(model))


class NoFeedForward(nn.Module):
    """Nothing, in the place of a feed-forward network: what a layer adds to its input is the mixer's alone."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(hidden_states)


def replace_module(root: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Put a module in the place of another one, and return the layer that holds it.

    Errors: RefusalError where the model does not hold it.
    """
    for parent in root.modules():
        for name, child in parent.named_children():
            if child is old:
                parent.add_module(name, new)
                return parent
    raise RefusalError(f"{type(old).__name__} is not a member of the model: no mixer can take its place")


def remove_feed_forward(layer: nn.Module, mixer: Mixer, hidden: int) -> None:
    """Leave a layer its mixer alone.

    Arguments:
        hidden: channels of the layer.

    Errors: RefusalError for a layer whose feed-forward network is not known by its name, or returns more than numbers.
    """
    network = layer._modules.get(FEED_FORWARD)
    if network is None or not _returns_numbers(network, hidden):
        raise RefusalError(
            f"{type(layer).__name__} has no feed-forward network that can be removed: leave feed_forward=False out of "
            f"{mixer.name}, or take an architecture such as llama"
        )
    layer.add_module(FEED_FORWARD, NoFeedForward())


@torch.no_grad()
def _returns_numbers(network: nn.Module, hidden: int) -> bool:
    found = network(next(network.parameters()).new_zeros(1, 2, hidden))
    return isinstance(found, Tensor) and found.shape == (1, 2, hidden)
