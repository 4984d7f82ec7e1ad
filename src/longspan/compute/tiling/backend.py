"""The backend "tiles": a scheme's inputs, document by document, through flash tiles."""

from dataclasses import replace
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.dense.blocks import blocks
from longspan.compute.inputs import Inputs
from longspan.compute.kernels import cpu as flash
from longspan.compute.tiling.decompose import attention
from longspan.compute.tiling.softmax import SpanSoftmax, nothing
from longspan.compute.tiling.spans import Patch, patches
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import Rotation, VectorBias


def refusal(x: Inputs) -> str | None:
    """Why tiles cannot serve these inputs; None where they can."""
    unserved = flash.refusal(x.query.device, x.query.dtype)
    return unserved or _scheme_refusal(x.scheme) or _spans_refusal(x)


@remember(None)
def _scheme_refusal(scheme: Scheme) -> str | None:
    if scheme.normalizer.order is None:
        return f"{scheme.normalizer.name} does not stream over keys"
    if scheme.cap:
        return f"{scheme.cap.name} changes scores inside the kernel"
    if isinstance(scheme.bias, VectorBias):
        return _vectors_refusal(scheme, scheme.bias)
    if not scheme.distance.is_true and _decays(scheme.rotation):
        return f"{scheme.rotation.name} decays and {scheme.distance.name} maps its distances"
    return None


def _vectors_refusal(scheme: Scheme, bias: VectorBias) -> str | None:
    if bias.constant_beyond is None:
        return f"{bias.name} adds vectors to keys and values that change with every distance"
    if scheme.reweight:
        return f"{scheme.reweight.name} multiplies weights of values to which {bias.name} adds vectors"
    if _decays(scheme.rotation):
        return f"{scheme.rotation.name} decays and {bias.name} adds vectors to keys"
    return None


def _spans_refusal(x: Inputs) -> str | None:
    found = _patches(x)
    return found if isinstance(found, str) else None


def _patches(x: Inputs) -> list[Patch] | str:
    return patches(x.queries, x.keys, len(x.query), regular=_needs_regular_coordinates(x.scheme))


@remember(None)
def _needs_regular_coordinates(scheme: Scheme) -> bool:
    plain = scheme.distance.is_true and not _decays(scheme.rotation)
    seen = scheme.bias is not None or scheme.reweight is not None
    return not plain or seen or len(scheme.rotation.segments(2**40)) > 1


def _decays(rotation: Rotation) -> bool:
    return bool(rotation.log_decay(2).any())


def tiles(x: Inputs) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention over flash tiles; memory grows with queries and keys, never with their product.

    A NaN or an inf may come out in rows that do not see it: where the output holds one, blocks compute all again.
    """
    x = readable(x)
    out = _tiles(x, flash.strip(x.query.dtype, x.query.device))
    # Short sums first: adding bfloat16 in float32 at once takes ten times as long.
    total = out.detach().sum(-1).sum(dtype=torch.promote_types(out.dtype, torch.float32))
    return out if isfinite(total) else blocks(x)


def readable(x: Inputs) -> Inputs:
    """The same call with the channels of a token side by side: a kernel would read other numbers without a word."""
    if all(tensor.stride(3) == 1 for tensor in (x.query, x.key, x.value)):
        return x
    return replace(x, query=x.query.contiguous(), key=x.key.contiguous(), value=x.value.contiguous())


def _tiles(x: Inputs, strip: int | None) -> Tensor:
    found = _patches(x)
    assert not isinstance(found, str)
    if len(found) == 1 and found[0].rows == slice(0, len(x.query)) and found[0].span.queries == x.query.shape[2]:
        return attention(SpanSoftmax.of(x, found[0], strip))
    out = nothing(x.query, x.value.shape[-1])
    for patch in found:
        out[patch.rows, :, patch.queries.index] = attention(SpanSoftmax.of(x, patch, strip))
    return out
