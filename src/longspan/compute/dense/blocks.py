"""Any scheme in linear memory: the reference on blocks of rows, each recomputed in the backward pass."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from longspan.compute.dense import memory
from longspan.compute.dense.reference import reference
from longspan.compute.inputs import Inputs

PAIRS = 2**22
"""Pairs per head that a block may hold: 16 MiB of float32 scores."""


def blocks(inputs: Inputs) -> Float[Tensor, "batch heads queries value_dim"]:
    """Compute as many rows at a time as `PAIRS` allows, on the keys that these rows can see."""
    if inputs.scheme.memory:
        return memory.attention(inputs)[0]
    parts = [_block(inputs, start, stop) for start, stop in _spans(inputs)]
    return torch.cat(parts, 2) if len(parts) > 1 else parts[0]


def row_blocks(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the rows of a call, as many at a time as `PAIRS` allows, each block on the keys that its rows can see."""
    for start, stop in _spans(inputs):
        yield _rows(inputs, inputs.query, inputs.key, inputs.value, dict(inputs.weights), start, stop)


def _spans(inputs: Inputs) -> list[tuple[int, int]]:
    count = inputs.query.shape[2]
    size = max(1, PAIRS // inputs.key.shape[2] // inputs.query.shape[0])
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _block(x: Inputs, start: int, stop: int) -> Tensor:
    if not torch.is_grad_enabled():
        return reference(_rows(x, x.query, x.key, x.value, dict(x.weights), start, stop))
    names = list(x.weights)

    def run(query: Tensor, key: Tensor, value: Tensor, *weights: Tensor) -> Tensor:
        return reference(_rows(x, query, key, value, dict(zip(names, weights, strict=True)), start, stop))

    out = checkpoint(run, x.query, x.key, x.value, *x.weights.values(), use_reentrant=False)
    assert isinstance(out, Tensor)
    return out


def _rows(x: Inputs, query: Tensor, key: Tensor, value: Tensor, weights: dict[str, Tensor], start: int, stop: int):
    queries = x.queries.slice(start, stop)
    first, end = _visible_keys(x, queries)
    return replace(
        x,
        query=query[:, :, start:stop],
        key=key[:, :, first:end],
        value=value[:, :, first:end],
        queries=queries,
        keys=x.keys.slice(first, end),
        weights=weights,
    )


def _visible_keys(x: Inputs, queries) -> tuple[int, int]:
    """A range of keys that holds every key that these queries can see; the device of the tensors is not asked."""
    count, rows = x.key.shape[2], queries.here.order
    low, high = x.scheme.mask.interval(rows, x.scheme.direction.causal)
    order, sinks = x.keys.here.order, x.scheme.mask.sinks
    if x.scheme.direction.causal:
        high = torch.minimum(high, rows + 1)
        sinks = min(sinks, int(rows.max()) + 1)
    needed = ((order >= low.min()) & (order < high.max())) | (order < sinks)
    where = needed.any(0).nonzero()
    return (int(where[0]), int(where[-1]) + 1) if len(where) else (0, min(1, count))
