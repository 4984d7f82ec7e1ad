"""From a scheme to sweeps: for each row a few intervals of keys, and the copies of queries and keys that hold in them.

A sweep is a branch of the distance in a segment of the rotation, among the keys of the window or among the sinks; where
the rotation decays, also the keys of one origin. Every pair that exists lies in exactly one sweep. As in the tiles, the
lowering names no part: it reads intervals, branches and segments.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isinf
from typing import NamedTuple

import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from longspan.compute.fused.tokens import Tokens
from longspan.scheme import Scheme
from longspan.slots import Band, Branch, Segment

Interval = tuple[Tensor, Tensor]
"""First key and one past the last, for each row; the second is never below the first."""


class Copy(NamedTuple):
    """Keys as a sweep wants them: rotated by a branch in a segment."""

    branch: Branch
    segment: Segment


@dataclass(frozen=True, eq=False)
class Sweeps:
    """What the rows of a call see.

    Arguments:
        seen: first key and one past the last of each row in each sweep.
        copies: numbers of the copies of queries and keys that a sweep reads.
        query_copies, key_copies: the copies. A query has one segment, so that its copies differ by branch only.
        origins: position that the decay of a sweep's keys is relative to; empty where nothing decays.
        visible: how many keys each row sees.
    """

    seen: Int32[Tensor, "sweeps rows queries 2"]
    copies: tuple[tuple[int, int], ...]
    query_copies: tuple[Branch, ...]
    key_copies: tuple[Copy, ...]
    segments: tuple[Segment, ...]
    origins: tuple[int, ...]
    visible: Int64[Tensor, "rows 1 queries"]


def lower(scheme: Scheme, tokens: Tokens, decay_span: int = 0) -> Sweeps:
    """The sweeps of a call. `decay_span` is the number of tokens over which decaying keys share an origin."""
    areas = _areas(scheme, tokens)
    visible = torch.stack([high - low for low, high in areas]).sum(0)
    segments = scheme.rotation.segments(tokens.reach)
    query_copies: dict[object, Branch] = {}
    key_copies: dict[object, Copy] = {}
    seen: list[Tensor] = []
    copies: list[tuple[int, int]] = []
    origins: list[int] = []
    for segment in segments:
        rows = (tokens.position >= segment.start) & (tokens.position < segment.stop)
        for branch in scheme.distance.branches():
            if scheme.direction.causal and _never(branch.holds):
                continue
            near = _band(branch.holds, tokens)
            for origin, block in _origins(scheme, tokens, decay_span):
                for area in areas:
                    low, high = _both(_both(near, block), area)
                    if len(segments) > 1:
                        high = torch.where(rows, high, low)
                    seen.append(torch.stack([low, high], -1) + tokens.start[..., None])
                    query_copies.setdefault(branch.query, branch)
                    key_copies.setdefault((segment.rotation, branch.key), Copy(branch, segment))
                    query = list(query_copies).index(branch.query)
                    copies.append((query, list(key_copies).index((segment.rotation, branch.key))))
                    origins += [] if origin is None else [origin]
    return Sweeps(
        torch.stack(seen).to(torch.int32),
        tuple(copies),
        tuple(query_copies.values()),
        tuple(key_copies.values()),
        segments,
        tuple(origins),
        visible[:, None],
    )


def _never(band: Band) -> bool:
    """Whether a band holds for later keys only, which causal queries do not see."""
    return band.stop <= 0


def _areas(scheme: Scheme, tokens: Tokens) -> list[Interval]:
    """The keys that each row sees, counted from the first key of its document: an interval, and the sinks before it."""
    order, first, count = tokens.order, tokens.first, tokens.count
    low, high = scheme.mask.interval(order, scheme.direction.causal)
    if scheme.direction.causal:
        high = torch.minimum(high, order + 1)
    low, high = _clipped(low - first, count), _clipped(high - first, count)
    high = torch.maximum(low, high)
    if not scheme.mask.sinks:
        return [(low, high)]
    sinks = _clipped(scheme.mask.sinks - first, count)
    if scheme.direction.causal:
        sinks = torch.minimum(sinks, _clipped(order + 1 - first, count))
    joined = torch.where(low <= sinks, torch.maximum(high, sinks), high)
    return [(low, joined), (torch.zeros_like(low), torch.minimum(low, sinks))]


def _band(band: Band, tokens: Tokens) -> Interval:
    """The keys of its document for which a band of positions holds, for each row."""
    block = tokens.position.div(band.block, rounding_mode="floor")

    def edge(bound: float, unbounded: Tensor) -> Tensor:
        if isinf(bound):
            return unbounded
        return _clipped((block - int(bound) + 1) * band.block - tokens.offset, tokens.count)

    nothing = torch.zeros_like(tokens.count)
    return edge(band.stop, nothing if band.stop > 0 else tokens.count), edge(
        band.start, tokens.count if band.start < 0 else nothing
    )


def _origins(scheme: Scheme, tokens: Tokens, size: int) -> Iterator[tuple[int | None, Interval]]:
    """Keys that share an origin of decay: all of a document where nothing decays."""
    whole = torch.zeros_like(tokens.count), tokens.count
    if not size:
        yield None, whole
        return
    for origin in range(tokens.least // size * size, tokens.reach, size):
        low = origin - tokens.offset
        yield origin, (_clipped(low, tokens.count), _clipped(low + size, tokens.count))


def _both(a: Interval, b: Interval) -> Interval:
    low = torch.maximum(a[0], b[0])
    return low, torch.maximum(low, torch.minimum(a[1], b[1]))


def _clipped(index: Tensor, count: Tensor) -> Tensor:
    return torch.minimum(index.clamp(min=0), count)
