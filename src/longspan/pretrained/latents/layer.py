"""Layers that cache latents (MLA) attend on them as they are, where that costs less than expanding them.

While an extension is on, a layer's `expand_kv` hands the latents through (`hold`), and its attention function decides
by the number of queries. A method rotates the shared rotary key alone, so that it is the same for latents: one key
head of [rotary key, latent], whose values are the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from longspan.compute.latent import Expansion, LatentWidths, latent_attention
from longspan.pretrained.latents.expansion import EXPAND, PROJECTION, expansion_of
from longspan.pretrained.running.attention import UNUSUAL, AttentionOutput, Extended, Stock
from longspan.pretrained.running.mask import LazyMask
from longspan.slots import VectorBias


class Latents(NamedTuple):
    """What the cache of a layer holds, in the place of its keys.

    Arguments:
        latent: (batch, 1, cached, latent).
        rotary: (batch, 1, cached, rotary), as the rotary module has rotated it.
    """

    latent: Tensor
    rotary: Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the latents: models with an indexer read off it how many tokens are cached."""
        return self.latent.shape


def hold(latent: Tensor, rotary: Tensor) -> tuple[Latents, None]:
    """Take the place of `expand_kv`: hand the latents through as keys, without values."""
    return Latents(latent, rotary), None


@dataclass(frozen=True, eq=False)
class InstalledHold:
    """`hold` on an attention module."""

    module: nn.Module

    def install(self) -> "InstalledHold":
        """Put it in the place of the module's own method."""
        self.module.__dict__[EXPAND] = hold
        return self

    def remove(self) -> None:
        """Bring back the module's own."""
        self.module.__dict__.pop(EXPAND, None)


@dataclass(frozen=True, eq=False)
class OnLatents:
    """A layer that is given latents.

    Arguments:
        layer: what the layer does on keys and values.
        widths: of the latents.
        absorbed: the same scheme on one head of [rotary key, latent]; None where a scheme does more with keys than
            rotate them, and where `layer` is no `Extended`.
    """

    layer: Callable[..., AttentionOutput]
    widths: LatentWidths
    absorbed: Extended | None

    @classmethod
    def of(cls, layer: Stock | Extended, widths: LatentWidths) -> "OnLatents":
        """Return the layer for latents of these widths."""
        absorbed = _widened(layer, widths) if isinstance(layer, Extended) else None
        return cls(layer, widths, absorbed)  # pyright: ignore[reportArgumentType]

    def __call__(
        self, module: nn.Module, query: Tensor, key: Latents, value: None, attention_mask: Any, **kwargs: Any
    ) -> AttentionOutput:
        """Attend on latents where that costs less and means the same, else on keys and values."""
        attention_mask, kwargs = _chosen(attention_mask, **kwargs)
        expansion = expansion_of(getattr(module, PROJECTION), self.widths)
        if expansion is not None and self.widths.absorbs(query.shape[2], key.latent.shape[2]):
            if self.absorbed is not None:
                return self._extended(self.absorbed, expansion, module, query, key, attention_mask, **kwargs)
            if isinstance(self.layer, Stock) and not _is_unusual(kwargs):
                mask = _mask(self.layer.implementation, query, key, attention_mask)
                if mask is not None:
                    return self._stock(expansion, query, key, mask, **kwargs), None
        keys, values = getattr(type(module), EXPAND)(module, *key)
        return self.layer(module, query, keys, values, attention_mask, **kwargs)

    def _parts(self, query: Tensor) -> tuple[Tensor, Tensor]:
        content, rotary = query.split([self.widths.content, self.widths.rotary], -1)
        return content, rotary

    def _scale(self, scaling: float | None) -> float:
        return (self.widths.content + self.widths.rotary) ** -0.5 if scaling is None else float(scaling)

    def _stock(
        self,
        expansion: Expansion,
        query: Tensor,
        key: Latents,
        mask: "_Mask",
        *,
        scaling: float | None = None,
        **_: Any,
    ) -> Tensor:
        content, rotary = self._parts(query)
        scale, (latent, keys) = self._scale(scaling), (key.latent[:, 0], key.rotary[:, 0])
        out = latent_attention(content, rotary, latent, keys, expansion, scale, mask.tensor)
        return out.transpose(1, 2).contiguous()

    def _extended(
        self, extended: Any, expansion: Expansion, module: nn.Module, query: Tensor, key: Latents, mask: Any,
        *, scaling: float | None = None, **kwargs: Any,
    ) -> AttentionOutput:  # fmt: skip
        content, rotary = self._parts(query)
        wide = torch.cat([rotary, expansion.absorb(content)], -1)
        shared = torch.cat([key.rotary, key.latent], -1)
        out, _ = extended(module, wide, shared, shared, mask, scaling=self._scale(scaling), **kwargs)
        return expansion.values(out[..., self.widths.rotary :].transpose(1, 2)).transpose(1, 2).contiguous(), None


def _widened(extended: Extended, widths: LatentWidths) -> Extended | None:
    """Return an extended layer for queries [rotary, absorbed] over keys [rotary, latent]; None where there is none."""
    scheme, layout = extended.scheme, extended.layout
    if scheme.qk_norm or isinstance(scheme.bias, VectorBias):
        return None
    if layout is None:
        return extended
    if not layout.last or layout.rotary_dim != widths.rotary:
        return None
    wider = replace(layout, head_dim=widths.rotary + widths.latent, last=False)
    return replace(extended, scheme=replace(scheme, rotation=wider.fit(scheme.rotation)), layout=wider)


def _chosen(mask: Any, indices: Tensor | None = None, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Return the mask with the keys that an indexer chose for each query, and the other arguments.

    Models with an indexer hide the other keys in the mask of transformers' own functions, and hand all others the
    indices, (batch, new, chosen).
    """
    if indices is None or not isinstance(mask, Tensor):
        return mask, kwargs if indices is None else {**kwargs, "indices": indices}
    hidden = torch.ones(*indices.shape[:2], mask.shape[-1], dtype=torch.bool, device=mask.device)
    hidden = hidden.scatter(-1, indices.long(), False)[:, None]
    if mask.dtype == torch.bool:
        return mask & ~hidden, kwargs
    return mask.masked_fill(hidden, torch.finfo(mask.dtype).min), kwargs


class _Mask(NamedTuple):
    """A mask as `latent_attention` takes it; None where all queries see all keys."""

    tensor: Tensor | None


def _mask(implementation: str, query: Tensor, key: Latents, given: Any) -> _Mask | None:
    """Return the mask that the model's own function would have used; None where it is not known."""
    mask = given.stock(implementation) if isinstance(given, LazyMask) else given
    new, cached = query.shape[2], key.latent.shape[2]
    if isinstance(mask, Tensor):
        return _Mask(mask) if mask.ndim == 4 else None
    if mask is not None:
        return None
    if new == 1:
        return _Mask(None)
    # Without a mask, several queries are the first tokens of the cache, and causality is all.
    return _Mask(torch.ones(1, 1, new, cached, dtype=torch.bool, device=query.device).tril())


def _is_unusual(kwargs: dict[str, Any]) -> bool:
    return bool(kwargs.get("dropout")) or any(kwargs.get(name) is not None for name in (*UNUSUAL, "indices"))
