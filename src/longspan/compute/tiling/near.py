"""The pairs nearer than a few tokens, written out: blocks of rows, each on the keys around it, as a batch.

A bias of vectors adds something else to each of these pairs, which no flash kernel can compute. Work and memory grow
with the number of tokens times the reach, not with the square of the number of tokens.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from longspan.compute.dense.reference import scores, summed
from longspan.compute.inputs import Inputs
from longspan.compute.places import PADDING, Places
from longspan.compute.tiling.softmax import SpanSoftmax
from longspan.scale.inverse_sqrt import InverseSqrt
from longspan.slots import Band

ROWS = 64
"""Rows of a block."""

PAIRS = 2**21
"""Pairs per head that are written out at a time."""


def attend(
    x: SpanSoftmax, reach: int, order: float
) -> tuple[Float[Tensor, "batch heads queries value_dim"], Float[Tensor, "batch heads queries"]]:
    """Output and log-sum-exp of the softmax of order · scores over the pairs with |i − j| < reach."""
    size = max(1, PAIRS // (ROWS + 2 * reach) // len(x.query) // ROWS) * ROWS
    starts = range(0, x.span.queries, size)
    parts = [_rows(x, start, min(start + size, x.span.queries), reach, order) for start in starts]
    outs, sums = zip(*parts, strict=True)
    return torch.cat(outs, 2), torch.cat(sums, 2)


def _rows(x: SpanSoftmax, start: int, stop: int, reach: int, order: float) -> tuple[Tensor, Tensor]:
    """Rows start … stop − 1, as a batch of blocks."""
    span, device = x.span, x.query.device
    ahead = 0 if x.inputs.scheme.direction.causal else reach - 1
    first = torch.arange(start, stop, ROWS, device=device)[:, None]
    row = first + torch.arange(ROWS, device=device)
    key = first + span.first_query - span.first_key + torch.arange(1 - reach, ROWS + ahead, device=device)
    batch = len(x.query)
    queries = _places(row, stop, span.first_query, span.shift, batch)
    keys = _places(key, span.keys, span.first_key, span.shift, batch)
    row, key = row.clamp(max=stop - 1), key.clamp(0, span.keys - 1)
    scheme = replace(x.inputs.scheme, qk_norm=None, scale=InverseSqrt(), sharpness=None)
    names = list(x.inputs.weights)

    def run(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        query, key_, value = (_blocks(t, at) for t, at in zip(tensors, (row, key, key), strict=False))
        learned = dict(zip(names, tensors[3:], strict=True))
        one = Inputs(query, key_, value, scheme, queries, keys, learned, x.scale, None, x.inputs.key_frame)
        found, exists = scores(one, Band(1 - reach, reach))
        found = found * order if order != 1 else found
        empty = ~exists.any(-1, keepdim=True)
        weights = found.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
        lse = found.masked_fill(empty, 0.0).logsumexp(-1).masked_fill(empty[..., 0], -torch.inf)
        return _rejoined(summed(one, weights, exists), batch, stop - start), _rejoined(lse, batch, stop - start)

    given = (x.query, x.key, x.value, *x.inputs.weights.values())
    if not torch.is_grad_enabled():
        return run(*given)
    out, lse = checkpoint(run, *given, use_reentrant=False)  # pyright: ignore[reportGeneralTypeIssues]
    return out, lse


def _blocks(x: Tensor, at: Tensor) -> Tensor:
    """Blocks of tokens as the batch."""
    found = x.index_select(2, at.flatten()).unflatten(2, at.shape)
    return found.transpose(1, 2).flatten(0, 1)


def _rejoined(x: Tensor, batch: int, count: int) -> Tensor:
    """The rows of all blocks in their order."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)[:, :, :count]


def _places(at: Tensor, count: int, first: int, shift: int, batch: int) -> Places:
    """Orders and positions of blocks of a span, `batch` times; tokens below 0 or from `count` on are padding."""
    order = (at + first).repeat(batch, 1)
    document = torch.where((at >= 0) & (at < count), 0, PADDING).repeat(batch, 1)
    return Places(order, (order + shift)[..., None], document)
