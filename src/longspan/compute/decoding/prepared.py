"""Run what was prepared: attention of few queries over a long cache, at little more than the cost of reading the keys.

`prepare` has found all there is to find, once for all layers; here it is done. Keys with the same residual rotation
stay as they lie and the query rotates back instead, so that a cache in the frame of a branch is read and never copied.
Only the keys of a window rotate, by angles remembered from the step before. Heads that share a key head become rows of
one head, and keys are cut into as many parts as keep every thread busy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd, inf, isfinite, nan
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from longspan.compute.kernels.cpu import VECTOR, operation
from longspan.compute.kernels.few_queries import few_queries
from longspan.compute.rotate import ReadyRotation
from longspan.slots import Weights

KEYS_PER_THREAD = 256
"""Keys that pay for a thread of their own."""


class TensorSpec(NamedTuple):
    """What can be known of a tensor without reading its numbers: tensors with equal specs are computed with alike.

    Arguments:
        stride: of the last axis.
        differentiated: whether operations on the tensor are recorded for a backward pass.
    """

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    stride: int
    differentiated: bool

    @classmethod
    def of(cls, x: Tensor) -> "TensorSpec":
        """The spec of a tensor."""
        return cls(x.shape, x.dtype, x.device, x.stride(-1), x.requires_grad and torch.is_grad_enabled())


class Parts(NamedTuple):
    """Keys in `number` parts of `size`, each `step` behind the one before: all threads have the same to do.

    Where parts overlap, a key in two parts is hidden from the first of them.
    """

    number: int
    size: int
    step: int

    @classmethod
    def of(cls, keys: int, heads: int, threads: int) -> "Parts":
        """As many parts as keep all threads busy, where that is worth it."""
        number = max(1, min(threads // gcd(threads, heads), keys // KEYS_PER_THREAD))
        step = keys // number
        return cls(number, keys - (number - 1) * step, step)

    def side_by_side(self, x: Tensor, first: int, axis: int = 2) -> Tensor:
        """A view of an axis from `first` on, with several parts as the batch."""
        if self.number == 1:
            return x.narrow(axis, first, self.size)
        stride, shape = x.stride(), list(x.shape)
        shape[0], shape[axis] = self.number, self.size
        return x.as_strided(shape, (self.step * stride[axis], *stride[1:]), x.storage_offset() + first * stride[axis])

    def hidden(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "parts 1 1 keys"] | None:
        """−inf for the keys that a part leaves to the next; None where parts do not overlap."""
        if self.size == self.step:
            return None
        hidden = torch.zeros(self.number, 1, 1, self.size, dtype=dtype, device=device)
        hidden[:-1, ..., self.step :] = -inf
        return hidden

    def shown(self) -> tuple[range, ...]:
        """The keys that each part shows, counted from the first key of all: every key is in one range."""
        starts = range(0, self.number * self.step, self.step)
        return *(range(start, start + self.step) for start in starts[:-1]), range(starts[-1], starts[-1] + self.size)


@dataclass(frozen=True, eq=False)
class Read:
    """How the kernel reads consecutive keys.

    Arguments:
        first, size: first key and number of keys.
        rotation: residual rotation of the keys; None where they are read as they lie.
        parts: how threads share the keys.
        partial: whether some row does not see all of the keys.
        blind: which packed rows see no key of a part; None where all rows see some key of every part.
        hidden: what hides keys that are in two parts, added to the mask in each call: a bias is a view of few numbers,
            which a sum of both would spell out for every key. None for nothing.
    """

    first: int
    size: int
    rotation: ReadyRotation | None
    parts: Parts
    partial: bool
    blind: Bool[Tensor, "parts 1 rows"] | None
    hidden: Float[Tensor, "parts 1 1 keys"] | None


class Numbers(NamedTuple):
    """Numbers that the parts of a scheme give to a step.

    Arguments:
        factor: of each query, (1 or heads, queries, 1) or one for all; None for 1.
        scale: factor of all scores, for the kernel.
        masks: added to the scores of each read, (1, heads or 1, rows, keys); None for nothing.
        logit: score of a key without a value, one per head; None for no such key.
    """

    factor: Tensor | float | None
    scale: float
    masks: tuple[Tensor | None, ...]
    logit: Float[Tensor, " heads"] | None


@dataclass(frozen=True, eq=False)
class DecodingStep:
    """Few queries over the keys of a cache, for rows of the batch with the same positions and tensors of equal specs.

    Arguments:
        rows: number of queries.
        packing: heads and rows of a call of the kernel; rows come last query first.
        reads: how the kernel reads the keys.
        rotation: residual rotation of the queries as a matrix, (before, after) for one query, else one for each; as
            wide as a query for all reads, or as wide as one query per read; None for none.
        numbers: None where learned weights have a say.
        find_numbers: finds the numbers from the learned weights.
        alone: the same step for one of the queries.
    """

    rows: int
    packing: tuple[int, int]
    reads: tuple[Read, ...]
    rotation: Float[Tensor, "... before after"] | None
    numbers: Numbers | None
    find_numbers: Callable[[Weights], Numbers]
    alone: Callable[[int], "DecodingStep"]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries d"]:
        """The output.

        A row is NaN exactly where it sees a NaN. Keys that only some rows see are masked by adding −inf, which a NaN or
        an inf survives: where the output of several rows holds one, each row is computed by itself.
        """
        out = self._attend(query, key, value, weights)
        if self.rows == 1 or isfinite(out.sum(dtype=torch.promote_types(out.dtype, torch.float32)).item()):
            return out
        alone = [self.alone(t)(query[:, :, t : t + 1], key, value, weights) for t in range(self.rows)]
        return torch.cat(alone, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, weights: Weights) -> Tensor:
        (batch, heads, rows, width), reads = query.shape, self.reads
        numbers = self.find_numbers(weights) if self.numbers is None else self.numbers
        query = query if numbers.factor is None else query * numbers.factor
        query = query.flip(2) if rows > 1 else query
        rotated, shape = side_by_side(query, self.rotation), (batch, *self.packing, width)
        if rotated.shape[-1] == width:
            packed = [rotated.reshape(shape)] * len(reads)
        else:
            packed = [rotated.narrow(-1, i * width, width).reshape(shape) for i in range(len(reads))]
        found = [
            self._read(read, some, key, value, numbers.scale, mask)
            for read, some, mask in zip(reads, packed, numbers.masks, strict=True)
        ]
        outs, sums = map(torch.cat, zip(*found, strict=True)) if len(found) > 1 else found[0]
        outs, sums = outs.reshape(-1, batch, heads, rows, width), sums.reshape(-1, batch, heads, rows)
        out = _merged(outs, sums, numbers.logit)
        return out.flip(2) if rows > 1 else out

    def _read(
        self, read: Read, query: Float[Tensor, "batch packed rows d"], key: Tensor, value: Tensor,
        scale: float, mask: Float[Tensor, "1 _ rows keys"] | None,
    ) -> tuple[Float[Tensor, "parts packed rows d"], Float[Tensor, "parts packed rows"]]:  # fmt: skip
        """Output and log-sum-exp over each part of the keys; parts are the batch dimension."""
        first, parts = read.first, read.parts
        value = parts.side_by_side(value, first)
        if read.rotation is not None:
            first, key = 0, read.rotation(key.narrow(2, first, read.size))
        key = parts.side_by_side(key, first)
        query = query.expand(parts.number, -1, -1, -1) if parts.number > 1 else query
        if mask is not None and parts.number > 1:
            mask = parts.side_by_side(mask, 0, axis=3)
        if read.hidden is not None:
            mask = read.hidden if mask is None else mask + read.hidden
        if not query.is_cpu:
            out, lse = few_queries(query, key, value, scale, mask)
        else:
            out, lse = operation(query, key, value, 0.0, False, attn_mask=mask, scale=scale)
            if (parts.size < VECTOR or read.partial) and not bool(lse.all()):
                out = out.masked_fill(_sums(query, key).isnan()[..., None], nan)
        if read.blind is not None:  # the kernel gives such a row any numbers
            out, lse = out.masked_fill(read.blind[..., None], 0.0), lse.masked_fill(read.blind, -inf)
        return out, lse


def side_by_side(
    query: Float[Tensor, "batch heads rows d"], matrix: Float[Tensor, "... before after"] | None
) -> Tensor:
    """Queries at each of the positions that some keys want them at, along the last axis.

    `matrix` is (before, after) for one row, else one for each; None for queries that stay as they are.
    """
    batch, heads, rows, width = query.shape
    if matrix is None:
        return query
    if rows == 1:  # one product is quicker to set up than a batch of one
        return torch.mm(query.reshape(batch * heads, width), matrix)
    return torch.bmm(query.reshape(batch * heads, rows, width).transpose(0, 1), matrix).transpose(0, 1)


def _sums(query: Float[Tensor, "batch packed rows d"], key: Float[Tensor, "batch kv_heads keys d"]) -> Tensor:
    """The scores of each row, summed: NaN where one of them is."""
    groups = query.shape[1] // key.shape[1]
    return (query @ (key.repeat_interleave(groups, 1) if groups > 1 else key).mT).sum(-1)


def _merged(
    out: Float[Tensor, "parts batch heads rows d"],
    lse: Float[Tensor, "parts batch heads rows"],
    logit: Float[Tensor, " heads"] | None,
) -> Float[Tensor, "batch heads rows d"]:
    """The parts weighted by their shares of each row's sum."""
    if logit is not None:
        lse = torch.cat([lse, logit[:, None].to(lse.dtype).expand_as(lse[:1])])
    elif out.shape[0] == 1:
        return out[0]
    shares = lse.softmax(0) if logit is None else lse.softmax(0)[:-1]
    return (shares.unsqueeze(-1) * out).sum(0).to(out.dtype)


Step = Callable[[Tensor, Tensor, Tensor, Weights], Tensor]
"""The output for queries, keys, values and learned weights: a `DecodingStep`, or a `LaunchedStep` (`launched.py`)."""

TokenIndex = slice | Tensor
"""Tokens of an axis: a slice, or their indices."""


class StepOfRows(NamedTuple):
    """The step of some rows of a batch.

    Arguments:
        rows: of the batch.
        queries, keys: tokens that the step sees.
    """

    rows: slice
    queries: TokenIndex
    keys: TokenIndex
    step: Step


@dataclass(frozen=True, eq=False)
class BatchedSteps:
    """A step for each group of rows with positions of their own: behind padding, in documents, in a static cache.

    Arguments:
        steps: of the groups; tokens in no group get zeros.
    """

    steps: tuple[StepOfRows, ...]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries d"]:
        """The output."""
        out = query.new_zeros(*query.shape[:3], value.shape[3])
        for rows, queries, keys, step in self.steps:
            some = _chosen(query[rows], queries), _chosen(key[rows], keys), _chosen(value[rows], keys)
            out[rows, :, queries] = step(*some, weights)
        return out


def _chosen(x: Float[Tensor, "rows heads all d"], tokens: TokenIndex) -> Float[Tensor, "rows heads some d"]:
    return x[:, :, tokens] if isinstance(tokens, slice) else x.index_select(2, tokens)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a call of few queries over a cache has to do, found once for all tensors of equal specs.

    Arguments:
        attention: what is done.
        new_keys: rotates the newest keys to the frame of the cache before it takes them up; None where they come as
            the cache keeps them.
    """

    attention: Step
    new_keys: ReadyRotation | None = None

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, weights: Weights
    ) -> Float[Tensor, "batch heads queries d"]:
        """The output for (batch, heads, queries, d) queries over (batch, kv_heads, keys, d) keys and values."""
        return self.attention(query, key, value, weights)
