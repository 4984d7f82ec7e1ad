"""An attention layer that keeps codes of far keys, and the layer of the model's cache where they lie."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from longspan.autocast import without_autocast
from longspan.compute.dense import memory
from longspan.compute.dense.memory import Kept
from longspan.compute.inputs import Inputs
from longspan.errors import RefusalError
from longspan.pretrained.running.arguments import Arguments
from longspan.pretrained.running.attention import AttentionOutput, Extended
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.states.state_layer import StateLayer, state_layer
from longspan.scheme import Scheme

CACHE = "past_key_values"
"""The argument in which an attention module of transformers is given the cache."""


@dataclass(frozen=True, eq=False)
class KeptRows:
    """What is kept of each row of a batch under a scheme; None for a row without tokens."""

    scheme: Scheme
    rows: tuple[Kept | None, ...]

    def select(self, rows: Tensor) -> "KeptRows":
        """Return some rows, in their order."""
        return KeptRows(self.scheme, tuple(self.rows[row] for row in rows.tolist()))

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(row.nbytes for row in self.rows if row is not None)


class CompressedLayer(StateLayer):
    """Near keys, and codes of far ones; only a layer with the same scheme can read on with them."""

    holds = "a compressed memory"

    def __init__(self) -> None:
        super().__init__()
        self.state: KeptRows | None = None
        self.awaited = False

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Count new tokens and return their keys and values alone.

        Errors: RefusalError for a model without the extension, which would take them for all keys.
        """
        if not self.awaited:
            raise RefusalError("this cache was filled under a compressed memory, not by this model: use an empty cache")
        self.awaited = False
        count = key_states.new_zeros(len(key_states), 1, key_states.shape[2], 0)
        super().update(count, count)
        return key_states, value_states


@dataclass(frozen=True, eq=False)
class Compressing:
    """The layer attends to near keys and to codes.

    Arguments:
        extended: the layer under a scheme with a memory, whose keys come unrotated.
    """

    extended: Extended

    @torch.compiler.disable  # what is computed depends on how many tokens were read
    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Attend with new keys and what the cache keeps of earlier ones.

        Errors: those of `Extended.call`; RefusalError where keys are not those of the new tokens.
        """
        if key.shape[2] != query.shape[2]:
            raise RefusalError(
                f"{type(module).__name__} attends to {key.shape[2]} keys for {query.shape[2]} new tokens: a compressed "
                "memory reads each token once"
            )
        given = self.extended.call(module, query, key, value, attention_mask, **kwargs)
        passes = self.extended.passes
        places = attention_mask.places(passes.current)[0]
        numbers = given.weights, given.base_scale
        inputs = Inputs(given.query, given.key, given.value, given.scheme, places, places, *numbers)
        layer = None if passes.current is None else passes.current.states.pop(module, None)
        held = None if layer is None or layer.state is None else layer.state.rows
        with without_autocast(query):
            out, rows = memory.attention(inputs, held)
        if layer is not None:
            layer.state = KeptRows(self.extended.scheme, rows)
        return out.transpose(1, 2).contiguous(), None


class CacheHook:
    """A hook before an attention module: it puts a `CompressedLayer` into the cache that the module is given.

    Errors: RefusalError for a module that is given no cache by its usual name, or has no number in it.
    """

    def __init__(self, module: nn.Module, scheme: Scheme, passes: ForwardPasses) -> None:
        self.arguments, self.scheme, self.passes = Arguments(module), scheme, passes
        if CACHE not in self.arguments.names or not isinstance(getattr(module, "layer_idx", None), int):
            raise RefusalError(f"{type(module).__name__} does not say where in the cache its keys are: no memory fits")

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Prepare the cache; torch calls this before the module's forward."""
        cache, current = self.arguments.get(CACHE, args, kwargs), self.passes.current
        if cache is None or current is None:
            return
        layer = state_layer(cache, int(module.layer_idx), CompressedLayer)  # pyright: ignore[reportArgumentType]
        if layer.state is not None and layer.state.scheme != self.scheme:
            raise RefusalError("this cache was filled under another memory: start with an empty cache")
        layer.awaited, current.states[module] = True, layer

    def install(self, module: nn.Module) -> list[RemovableHandle]:
        """Register the hook."""
        return [module.register_forward_pre_hook(self, with_kwargs=True)]
