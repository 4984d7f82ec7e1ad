"""One or few queries against a long cache: a step costs the reading of the keys it sees, and little else.

What is left to do is found once for a step and serves all layers. Keys that all still have to turn by the same angle
stay as they lie, and the query turns back instead: a cache kept in the frame of a branch is read, never copied. What
turns are the keys of a window, by angles remembered from the step before. The heads that share a key head become rows
of one head, and the keys are cut into as many parts as keep every thread busy.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import gcd, isfinite

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.flash import VECTOR, flash
from longspan.compute.inputs import Inputs
from longspan.compute.lowering import Span
from longspan.compute.remembered import Remembered, spelled
from longspan.compute.scaling import scaled
from longspan.compute.spans import one_span
from longspan.compute.step import FEW, Piece, Step, step
from longspan.slots import ScoreBias

WORTH = 512
"""Keys that pay for a thread of their own."""

_lines = Remembered(2**26)


def decode(x: Inputs) -> Float[Tensor, "batch heads queries value_dim"] | None:
    """The output; None where the inputs are more than the softmax of few queries in one run with their keys.

    Keys that only some rows see are masked by adding −inf, which a NaN or an inf survives: where several rows show one,
    each is done by itself.
    """
    if x.query.shape[2] > FEW or _wants_gradients(x) or not _one_softmax(x):
        return None
    span = one_span(x.queries, x.keys)
    found = None if span is None else step(x.scheme, x.frame, span, x.query.shape[3])
    if span is None or found is None:
        return None
    out, rows = _decoded(x, span, found), span.queries
    if rows == 1 or isfinite(out.sum(dtype=torch.promote_types(out.dtype, torch.float32)).item()):
        return out
    alone = [decode(replace(x, query=x.query[:, :, t : t + 1], queries=x.queries.slice(t, t + 1))) for t in range(rows)]
    return torch.cat(alone, 2)  # pyright: ignore[reportArgumentType]  # what is a step together is one alone


def _decoded(x: Inputs, span: Span, todo: Step) -> Tensor:
    (batch, heads, rows, width), pieces = x.query.shape, todo.pieces
    query, scale = scaled(x, x.query, span)
    query = query.flip(2) if rows > 1 else query
    query = query.reshape(1, batch * heads, rows, width).expand(len(pieces), -1, -1, -1)
    query = query if todo.queries is None else todo.queries(query)
    packed = query.reshape(len(pieces), batch, *_packing(x), width)
    parts = [part for at, piece in enumerate(pieces) for part in _attend(x, piece, span, packed[at], scale)]
    outs, sums = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    out = _merged(x, outs.reshape(-1, batch, heads, rows, width), sums.reshape(-1, batch, heads, rows))
    return out.flip(2) if rows > 1 else out


def _wants_gradients(x: Inputs) -> bool:
    tensors = (x.query, x.key, x.value, *x.weights.values())
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _one_softmax(x: Inputs) -> bool:
    """Whether the scheme is one softmax of scores of the keys as they came."""
    scheme, same_width = x.scheme, x.value.shape[3] == x.query.shape[3]
    plain = scheme.bias is None or isinstance(scheme.bias, ScoreBias)
    return plain and same_width and scheme.normalizer.order == 1 and not scheme.qk_norm and not scheme.reweight


def _packing(x: Inputs) -> tuple[int, int]:
    """Heads and rows of a call: those of one key head are its rows, where no bias of several rows keeps them apart."""
    heads, queries, kv_heads = x.query.shape[1], x.query.shape[2], x.key.shape[1]
    return (heads, queries) if x.scheme.bias and queries > 1 else (kv_heads, heads // kv_heads * queries)


def _attend(
    x: Inputs, piece: Piece, span: Span, query: Float[Tensor, "batch packed rows d"], scale: float
) -> Iterator[tuple[Float[Tensor, "parts packed rows d"], Float[Tensor, "parts packed rows"]]]:
    """Output and log-sum-exp over each part of the piece's keys; parts take the batch dimension."""
    batch, length, start, key = len(query), piece.end - piece.first, piece.first, x.key
    if piece.keys is not None:
        start, key = 0, piece.keys(x.key.narrow(2, piece.first, length))
    mask = _mask(x, piece, span)
    for first, number, size in _parts(batch, query.shape[1], length):
        k = _side_by_side(key, start + first, number, size)
        v = _side_by_side(x.value, piece.first + first, number, size)
        added = None if mask is None else _side_by_side(mask[None], first, number, size, axis=3)
        q = query.expand(number, -1, -1, -1) if number > 1 else query
        out, lse = flash(q, k, v, scale, False, added)
        for row in piece.blind:  # the kernel's word on them means nothing
            out[:, :, row :: span.queries], lse[:, :, row :: span.queries] = 0.0, -float("inf")
        yield out, lse


def _parts(batch: int, heads: int, keys: int) -> Iterator[tuple[int, int, int]]:
    """First key, number and size of the parts in which keys are read, so that all threads have the same to do.

    What is left over is a part of its own, long enough for the kernel to treat it well.
    """
    threads = torch.get_num_threads() if batch == 1 else 1
    number = max(1, min(threads // gcd(threads, heads), keys // WORTH))
    size = keys // number - (-(-VECTOR // number) if keys % number else 0)
    yield 0, number, size
    if keys > number * size:
        yield number * size, 1, keys - number * size


def _side_by_side(x: Tensor, first: int, number: int, size: int, axis: int = 2) -> Tensor:
    """`number` times `size` places of an axis from `first` on, as the batch where they are several: a view."""
    if number == 1:
        return x.narrow(axis, first, size)
    stride, shape = x.stride(), list(x.shape)
    shape[0], shape[axis] = number, size
    return x.as_strided(shape, (size * stride[axis], *stride[1:]), x.storage_offset() + first * stride[axis])


def _merged(x: Inputs, out: Tensor, lse: Tensor) -> Float[Tensor, "batch heads rows d"]:
    """The parts weighted by their shares of each row's sum."""
    logit = x.scheme.normalizer.extra_logit(x.query.shape[1], x.weights_of(x.scheme.normalizer))
    if logit is not None:
        lse = torch.cat([lse, logit[:, None].to(lse.dtype).expand_as(lse[:1])])
    elif len(out) == 1:
        return out[0]
    return (lse.softmax(0)[: len(out), ..., None] * out).sum(0).to(x.query.dtype)


# --- what is added to the scores --------------------------------------------------------------------------------------


def _mask(x: Inputs, piece: Piece, span: Span) -> Float[Tensor, "_ rows keys"] | None:
    """What is added to the scores of packed rows; None for nothing."""
    dtype, device = torch.promote_types(x.query.dtype, torch.float32), x.query.device
    heads, size = x.query.shape[1], piece.end - piece.first
    if isinstance(x.scheme.bias, ScoreBias):
        newest = span.first_query + span.queries - 1 - span.first_key
        farthest = _reach(newest)
        line = _line(x, x.scheme.bias, farthest, _reach(span.queries + span.keys - newest), dtype)
        start = farthest - newest + piece.first
        added = line.as_strided((heads, span.queries, size), (line.shape[1], 1, 1), start)
    elif piece.seen is None:
        return None
    else:
        added = torch.zeros(1, span.queries, size, dtype=dtype, device=device)
    if piece.seen is not None:
        key = torch.arange(piece.first, piece.end)
        hidden = torch.stack([(key < a) | (key >= b) for a, b in piece.seen])
        added = added.masked_fill(hidden.to(device), -float("inf"))
    packed, rows = _packing(x)
    return added.reshape(packed, rows, size) if x.scheme.bias else added.repeat(1, rows // span.queries, 1)


def _reach(distance: int) -> int:
    """A power of two above a distance, so that a line lasts for as many steps as it took to get there."""
    return 1 << max(distance, FEW).bit_length()


def _line(x: Inputs, bias: ScoreBias, past: int, future: int, dtype: torch.dtype) -> Float[Tensor, "heads distances"]:
    """The bias for i − j = past, past − 1 … −future, kept as long as its learned numbers stay the same."""
    heads, device, weights = x.query.shape[1], x.query.device, x.weights_of(bias)

    def make() -> tuple[Tensor]:
        relative = torch.arange(past, -future - 1, -1, device=device)
        head = torch.arange(heads, device=device)[:, None]
        return (bias(relative, head, heads, weights).detach().to(dtype).expand(heads, -1).contiguous(),)

    return _lines.get((bias, heads, past, future, dtype, device, spelled(*weights.values())), make)[0]
