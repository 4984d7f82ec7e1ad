"""The attention function that transformers calls, and the two things that an attention layer may do then."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from longspan.autocast import lowered, without_autocast
from longspan.cap.softcap import Softcap
from longspan.compute.attend import run, step_backend
from longspan.compute.decoding.prepare import MOST_QUERIES, Request, prepare
from longspan.compute.inputs import Inputs
from longspan.errors import RefusalError
from longspan.memo import remember
from longspan.normalizer.softmax_plus_one import SoftmaxPlusOne
from longspan.position_map import PositionMap
from longspan.pretrained.anatomy.layout import ChannelLayout
from longspan.pretrained.running.forward_pass import ForwardPasses
from longspan.pretrained.running.learned import learned_weights
from longspan.pretrained.running.mask import LazyMask, lazy_mask
from longspan.scheme import Scheme

IMPLEMENTATION = "longspan"
"""The name under which transformers finds our functions; it must contain none of `sdpa`, `flash`, `flex_attention`."""
WATCHING = "longspan_watching"
"""The same for a model that works on its masks itself: it is given real masks, as for eager attention."""
LAYER = "longspan_layer"
"""The attribute of an attention module that holds what it does when it is called."""

UNUSUAL = ("softcap", "s_aux", "position_bias")
"""Arguments that some models pass to their attention function and `sdpa` ignores."""

AttentionOutput = tuple[Tensor, Tensor | None]


def attention(
    module: nn.Module, query: Tensor, key: Any, value: Any, attention_mask: Any, **kwargs: Any
) -> AttentionOutput:
    """Call what the module holds; transformers finds this function by name. Keys may be latents (`latents/`).

    Errors: RefusalError for a model whose folder holds an extension that its loader did not apply, for a module that
    came to the model later, and under continuous batching.
    """
    layer: Callable[..., AttentionOutput] | None = module.__dict__.get(LAYER)
    if layer is None:
        raise RefusalError(
            f"{type(module).__name__} has no extension: if its model was saved with one, load it with "
            "longspan.load(FOLDER), or without the extension by "
            'from_pretrained(FOLDER, attn_implementation="sdpa"); if the module came later, extend the model again'
        )
    if kwargs.get("cache") is not None:
        raise RefusalError("continuous batching pages its cache, which an extension cannot read: use generate()")
    return layer(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(IMPLEMENTATION, attention)
AttentionMaskInterface.register(IMPLEMENTATION, lazy_mask)
AttentionInterface.register(WATCHING, attention)
AttentionMaskInterface.register(WATCHING, eager_mask)


def stock_attention(implementation: str, module: nn.Module) -> Callable[..., Any]:
    """Return the function that the module would have called under an implementation of transformers."""
    eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Stock:
    """The layer attends as it always did.

    Arguments:
        implementation: the attention function it always called.
        banded: the same on long texts without a mask of queries × keys; None where its function is given no such mask.
        passes: of an encoder, which know of packed documents; None for a causal layer.
    """

    implementation: str
    banded: "Extended | None" = None
    passes: ForwardPasses | None = None

    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Call the model's own implementation with its own mask."""
        if self.banded is not None and isinstance(attention_mask, LazyMask) and query.is_cpu:
            usual = not kwargs.get("dropout") and all(kwargs.get(name) is None for name in UNUSUAL)
            eager = not torch.compiler.is_compiling()  # one graph stays one graph
            if usual and eager and attention_mask.is_band(self.banded.passes.current):
                extended: Callable[..., AttentionOutput] = self.banded  # pyright: ignore[reportAssignmentType]
                return extended(module, query, key, value, attention_mask, **kwargs)
        mask = attention_mask
        if isinstance(mask, LazyMask):
            mask = mask.stock(self.implementation, None if self.passes is None else self.passes.current)
        return stock_attention(self.implementation, module)(module, query, key, value, mask, **kwargs)


@dataclass(frozen=True, eq=False)
class Extended:
    """The layer attends under a scheme.

    Arguments:
        scheme: what remains to be done on queries and keys as they come from the cache.
        layout: which of their channels rotate; None where no rotation remains.
        frame: the mapped position to which they were rotated before; None where they come unrotated, or no rotation
            remains.
        passes: of the model.
        backend: the name of a backend of `attend`.
    """

    scheme: Scheme
    layout: ChannelLayout | None
    frame: PositionMap | None
    passes: ForwardPasses
    backend: str = "auto"

    @torch.compiler.disable  # what is computed depends on the positions
    def __call__(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Attend at the places that the mask object gives.

        Errors: those of `call`.
        """
        given = self.call(module, query, key, value, attention_mask, **kwargs)
        with without_autocast(query):
            return self._spoiled(self._attend(given, attention_mask).transpose(1, 2).contiguous()), None

    def _attend(self, given: "LayerCall", attention_mask: LazyMask) -> Tensor:
        if self.scheme.direction.causal:
            attention_mask.require_causal(self.passes.current)
        prepared = None
        query, key, value = given.query, given.key, given.value
        if query.shape[2] <= MOST_QUERIES:
            positions = attention_mask.positions(self.passes.current, len(query))
            frames = (self.frame, self.frame)
            where = query.device, query.dtype, query.shape[3], value.shape[3]
            backend = step_backend(*where, given.scheme, self.backend)
            prepared = prepare(
                Request.of(
                    query, key, value, given.weights, given.scheme, positions, given.base_scale,
                    backend, frames,
                )
            )  # fmt: skip
        if prepared is None:
            return run(self.inputs(given, attention_mask), self.backend)
        return prepared(query, key, value, given.weights)

    def call(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any,
        *,
        scaling: float | None = None,
        dropout: float = 0.0,
        softcap: float | None = None,
        s_aux: Tensor | None = None,
        position_bias: Tensor | None = None,
        **_: Any,
    ) -> "LayerCall":
        """Return what a call of the module's attention function means under the scheme, in autocast's type if it is on.

        Errors: RefusalError for a mask tensor, dropout, and a position bias of the model's own.
        """
        if not isinstance(attention_mask, LazyMask):
            raise RefusalError(
                "this layer was given a ready mask tensor, which hides the places of tokens: "
                "pass a 2-D attention_mask, or none"
            )
        if dropout:
            raise RefusalError(f"attention dropout {dropout} is not supported: set config.attention_dropout to 0")
        if position_bias is not None:
            raise RefusalError("this model adds a position bias of its own, which an extension would lose")
        if self.layout is not None:
            query, key = self.layout.arrange(query), self.layout.arrange(key)
        query, key, value = lowered(query, key, value)
        weights = learned_weights(module)
        if s_aux is not None:
            weights["normalizer.logit"] = s_aux
        scheme = self.scheme
        if softcap is not None or s_aux is not None:
            scheme = _with_the_models_own(scheme, softcap, s_aux is not None)
        base_scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        return LayerCall(query, key, value, weights, scheme, base_scale)

    def _spoiled(self, out: Tensor) -> Tensor:
        """NaN in rows whose padding or positions are not those that were foreseen."""
        return out if self.passes.current is None else self.passes.current.spoil(out)

    def inputs(self, given: "LayerCall", attention_mask: LazyMask) -> Inputs:
        """Return a call as the inputs of a backend, at the places of the pass that the model is in."""
        queries, keys = (x.to(given.query.device) for x in attention_mask.places(self.passes.current))
        numbers = given.weights, given.base_scale, self.frame, self.frame
        return Inputs(given.query, given.key, given.value, given.scheme, queries, keys, *numbers)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A call of one layer: queries and keys in our layout, values, weights, the scheme with the model's own parts."""

    query: Tensor
    key: Tensor
    value: Tensor
    weights: Mapping[str, Tensor]
    scheme: Scheme
    base_scale: float


@remember(64)
def _with_the_models_own(scheme: Scheme, softcap: float | None, sinks: bool) -> Scheme:
    """The scheme with the cap and the attention sinks that the model itself computes with."""
    scheme = scheme if softcap is None else replace(scheme, cap=Softcap(float(softcap)))
    return replace(scheme, normalizer=SoftmaxPlusOne()) if sinks else scheme
