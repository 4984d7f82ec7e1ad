"""Biases that depend on i − j only: one number per diagonal, which a tile reads as a strided view.

With the keys reversed (j' = keys − 1 − j), the bias of row t and key j' is diagonal[t + j']: a matrix whose strides are
(1, 1), so that a block of any number of rows needs the memory of one row.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from longspan.compute.tiling.lowering import Span, Tile
from longspan.slots import Reweight, ScoreBias, Weights

Operands = tuple[Tensor, Tensor, Tensor]
"""The queries, keys and values of a tile, or their gradients."""


WRITTEN_OUT = 16
"""For up to so many queries a bias is written out, because it is smaller than a copy of the reversed keys."""


class Rows(NamedTuple):
    """Gradient of the output, output and log-sum-exp of a tile's whole rows, for the backward pass."""

    grad: Tensor
    out: Tensor
    lse: Tensor


def diagonals(
    of: ScoreBias | Reweight, span: Span, num_heads: int, weights: Weights, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "heads diagonals"]:
    """The bias, or the factor, for i − j = lowest(span) … of one span, in ascending order."""
    low = lowest(span)
    high = span.first_query + span.queries - 1 - span.first_key
    relative = torch.arange(low, high + 1, device=device)
    head = torch.arange(num_heads, device=device)[:, None]
    return of(relative, head, num_heads, weights).to(dtype).expand(num_heads, -1)


def lowest(span: Span) -> int:
    """The smallest i − j in a span."""
    return span.first_query - span.first_key - span.keys + 1


def reverses(tile: Tile) -> bool:
    """Whether a biased tile runs with its keys reversed; blocks that take the batch dimension cannot."""
    return tile.count == 1 and tile.rows > WRITTEN_OUT


def mask(tile: Tile, span: Span, diagonal: Float[Tensor, "heads diagonals"]) -> Float[Tensor, "1 heads rows keys"]:
    """The tile's bias, −inf where a pair does not exist: a strided view for reversed keys, otherwise written out."""
    size = tile.rows + tile.keys - 1
    start = _first(tile, span)
    ahead = tile.keys - 1 - torch.arange(size, device=diagonal.device)
    exists = (ahead >= tile.low) & (ahead < tile.high)
    line = diagonal[:, start : start + size].masked_fill(~exists, -float("inf"))
    shape = (1, len(line), tile.rows, tile.keys)
    view = line.as_strided(shape, (0, line.stride(0), 1, 1))
    return view if reverses(tile) else view.flip(3)


def _first(tile: Tile, span: Span) -> int:
    """The tile's lowest diagonal, of its first row and last key, as an index into `diagonals`."""
    return span.first_query + tile.row - span.first_key - (tile.key + tile.keys - 1) - lowest(span)


def add_gradient(
    total: Float[Tensor, "heads diagonals"],
    tile: Tile,
    span: Span,
    operands: Operands,
    around: Rows,
    scale: float,
    diagonal: Float[Tensor, "heads diagonals"],
) -> None:
    """Add the gradient of the bias in one tile: dS = P ∘ (dP − rowsum(dO ∘ O)), summed along diagonals.

    `out` and `lse` are those of the whole rows. It sums over blocks of rows with reversed keys, as in `mask`:
    memory stays linear, and a diagonal has a fixed stride.
    """
    (q, k, v), (grad, out, lse) = operands, around
    start, bias = _first(tile, span), mask(tile, span, diagonal)
    bias = bias if reverses(tile) else bias.flip(3)
    dtype, groups = lse.dtype, q.shape[1] // k.shape[1]
    q, grad = q.to(dtype) * scale, grad.to(dtype)
    k, v = (x.flip(2).to(dtype).repeat_interleave(groups, 1).mT for x in (k, v))
    delta = (grad * out).sum(-1, keepdim=True)
    for first in range(0, tile.rows, ROWS):
        rows = slice(first, min(first + ROWS, tile.rows))
        # Reversed keys that no row of the block sees: those ahead of its last row.
        unseen = max(0, tile.keys - (rows.stop - 1 + tile.high))
        gradient = (q[:, :, rows] @ k[..., unseen:]).add_(bias[:, :, rows, unseen:]).sub_(lse[:, :, rows, None]).exp_()
        gradient.mul_((grad[:, :, rows] @ v[..., unseen:]).sub_(delta[:, :, rows]))
        sums = _diagonal_sums(gradient.sum(0) if len(gradient) > 1 else gradient[0])
        begin = start + first + unseen
        total[:, begin : begin + sums.shape[1]] += sums


ROWS = 64
"""Rows whose scores `add_gradient` holds at a time."""


def _diagonal_sums(matrix: Float[Tensor, "heads rows keys"]) -> Float[Tensor, "heads diagonals"]:
    """Sums over t + j' of a contiguous matrix: whole diagonals as a strided view, the two corners padded."""
    heads, rows, keys = matrix.shape
    if keys < 2 * rows:
        padded = pad(matrix, (0, rows)).flatten(1)[:, : rows * (rows + keys - 1)]
        return padded.view(heads, rows, rows + keys - 1).sum(1)
    sums = matrix.new_empty(heads, rows + keys - 1)
    whole = (heads, rows, keys - rows + 1)
    sums[:, rows - 1 : keys] = matrix.as_strided(
        whole, (rows * keys, keys - 1, 1), matrix.storage_offset() + rows - 1
    ).sum(1)
    sums[:, : rows - 1] = _diagonal_sums(matrix[..., : rows - 1].contiguous())[:, : rows - 1]
    sums[:, keys:] = _diagonal_sums(matrix[..., keys - rows + 1 :].contiguous())[:, rows - 1 :]
    return sums
