"""Which keys the rows of a decoding step see, and how far queries and keys still rotate there.

Rows come last first throughout, so that a bias that depends on i − j is a strided view of one line of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Shaped
from torch import Tensor

from longspan.compute.decoding.residual import ResidualRotation
from longspan.compute.rotate import decay_span
from longspan.compute.tiling.lowering import Span, band_keys, visible_keys
from longspan.memo import remember
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import Branch

CHUNK = 2**12
"""Keys that rotate in one operation: few enough for the processor's cache to hold them until they are read."""

BLOCK = 2**14
"""Positions that are compared at once to find runs of keys with the same residual rotation."""

LONG_RUN = 2**9
"""Where a block's runs have so many keys on average, they are read as they lie, each by a query of its own."""

Seen = tuple[tuple[int, int], ...]
"""First key and one past the last, row by row."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive keys under one branch of the distance.

    Arguments:
        first, end: first key and one past the last.
        seen: which of the keys each row sees; None where every row sees all.
        rotation: residual rotation of the keys; None where they are read as they lie.
    """

    first: int
    end: int
    seen: Seen | None
    rotation: ResidualRotation | None

    @cached_property
    def blind(self) -> tuple[int, ...]:
        """The rows that see none of the keys."""
        return tuple(row for row, (a, b) in enumerate(self.seen or ()) if a >= b)


@dataclass(frozen=True, eq=False)
class StepPieces:
    """All keys that the rows of a step see.

    Arguments:
        pieces: the keys; those of one row never overlap.
        queries: residual rotation of the rows, (pieces, or 1 for all pieces, rows, 1); None for none.
    """

    pieces: tuple[Piece, ...]
    queries: ResidualRotation | None


def step_pieces(
    scheme: Scheme, frames: tuple[PositionMap | None, PositionMap | None], span: Span, head_dim: int, dtype: torch.dtype
) -> StepPieces | None:
    """The pieces of a span's keys; None where rows have different spectra, or where a row sees no key.

    None as well for distances by section of the channel pairs: tiles rotate all keys for them in each call.

    Keys that rotate do so in chunks, each counted from its own first key: one short table of angles serves all chunks,
    and what grows with a key's position stays small. A decaying spectrum asks for the true distance, else None.

    Arguments:
        frames: mapped positions that queries and keys are already rotated to; None for unrotated ones.
    """
    if scheme.distance.by_section:
        return None
    position = torch.arange(span.first_query, span.first_query + span.queries).flip(0) + span.shift
    high, low = int(position[0]), int(position[-1])
    segment = next(s for s in scheme.rotation.segments(high + 1) if s.start <= high < s.stop)
    spectrum = segment.rotation.spectrum(head_dim)
    if low < segment.start or (spectrum.decays and not scheme.distance.is_true):
        return None
    chunk = decay_span(spectrum, dtype, CHUNK) if spectrum.decays else CHUNK if spectrum.rotary_dim else span.keys
    query_frame, key_frame = frames
    gain = spectrum.gain ** frames.count(None)  # queries get the gain of both sides
    key_spectrum, query_spectrum = replace(spectrum, gain=1.0), replace(spectrum, gain=gain)
    pieces: list[Piece] = []
    queries: list[Tensor] = []
    offset = span.first_key + span.shift
    for branch, first, end, rows in _branch_keys(scheme, span, position):
        keys_of_branch = range(offset + first, offset + end)
        for keys, first_residual, further in _residuals(branch.key, key_frame, keys_of_branch, chunk):
            rotation = None
            if further is not None and spectrum.rotary_dim:
                rotation = ResidualRotation(further[None, :, None], key_spectrum, -1)
            start, stop = keys.start - offset, keys.stop - offset
            pieces.append(Piece(start, stop, _seen(rows, start, stop), rotation))
            queries.append(_residual(branch.query, query_frame, position).double() - first_residual)
    if not pieces or set(range(span.queries)).intersection(*(piece.blind for piece in pieces)):
        return None
    residual = _shared(pieces, torch.stack(queries))[..., None]
    as_they_are = not spectrum.rotary_dim or (gain == 1.0 and not bool(residual.any()))
    return StepPieces(tuple(pieces), None if as_they_are else ResidualRotation(residual, query_spectrum, 1))


def _shared(pieces: list[Piece], queries: Shaped[Tensor, "pieces rows"]) -> Shaped[Tensor, "served rows"]:
    """Residual positions of the rows for each piece, or for all at once.

    All pieces share the queries where only one piece rotates its keys: these rotate by the difference as well.
    """
    rotating = [i for i, piece in enumerate(pieces) if piece.rotation]
    lying = [i for i, piece in enumerate(pieces) if not piece.rotation]
    if len(rotating) != 1 or not lying:
        return queries
    difference = queries - queries[lying[0]]
    if difference[lying].any() or (difference != difference[:, :1]).any():
        return queries
    piece = pieces[rotating[0]]
    assert piece.rotation is not None
    moved = replace(piece.rotation, positions=piece.rotation.positions - difference[rotating[0], 0])
    pieces[rotating[0]] = replace(piece, rotation=moved)
    return queries[lying[:1]]


def _branch_keys(scheme: Scheme, span: Span, position: Tensor) -> Iterator[tuple[Branch, int, int, Seen]]:
    """Branch, first key, one past the last, and which keys of the branch each row sees."""
    areas = [(low.flip(0), high.flip(0)) for low, high in visible_keys(scheme, span)]
    for branch in scheme.distance.branches():
        a, b = band_keys(branch.holds, position, span)
        for low, high in areas:
            starts, stops = torch.maximum(a, low).tolist(), torch.minimum(b, high).tolist()
            rows = tuple(zip(starts, stops, strict=True))
            for start, stop in _cut(rows):
                yield branch, start, stop, rows


def _cut(rows: Seen) -> Iterator[tuple[int, int]]:
    """The keys that all rows see, and those before and behind them that only some rows see."""
    seeing = [(a, b) for a, b in rows if a < b]
    if not seeing:
        return
    first, low = min(a for a, _ in seeing), max(a for a, _ in seeing)
    high, end = min(b for _, b in seeing), max(b for _, b in seeing)
    shared = low < high and len(seeing) == len(rows)
    for start, stop in pairwise([first, low, high, end] if shared else [first, end]):
        if start < stop:
            yield start, stop


def _seen(rows: Seen, start: int, stop: int) -> Seen | None:
    """Which keys from `start` to `stop` each row sees; None where all rows see all of them."""
    seen = tuple((max(a, start), min(b, stop)) for a, b in rows)
    return None if set(seen) == {(start, stop)} else seen


def _residuals(
    mapped: PositionMap, frame: PositionMap | None, keys: range, chunk: int
) -> Iterator[tuple[range, float, Tensor | None]]:
    """Keys, the residual of the first of them, and how much larger each residual is; None where all are the same."""
    blocks = range(keys.start // BLOCK, (keys.stop - 1) // BLOCK + 1)
    runs_of_blocks = [_runs(mapped, frame, block) for block in blocks]
    if all(runs_of_blocks):
        runs = [run for some in runs_of_blocks for run in some]
        changes = [runs[0], *(run for before, run in pairwise(runs) if run[1] != before[1])]
        for (start, residual), (stop, _) in pairwise([*changes, (keys.stop, 0.0)]):
            if some := range(max(start, keys.start), min(stop, keys.stop)):
                yield some, residual, None
        return
    for start in range(0, len(keys), chunk):
        some = keys[start : start + chunk]
        # Up to a power of two, so that the angles of a growing cache last for a while.
        count = 1 << (len(some) - 1).bit_length()
        residual = _residual(mapped, frame, torch.arange(some.start, some.start + count))
        yield some, residual[0].item(), residual - residual[0]


def _residual(mapped: PositionMap, frame: PositionMap | None, position: Tensor) -> Tensor:
    """How far tokens rotated to a frame are from their mapped position."""
    return mapped(position) if frame is None else mapped(position) - frame(position)


@remember(4096)
def _runs(mapped: PositionMap, frame: PositionMap | None, block: int) -> tuple[tuple[int, float], ...]:
    """First position and residual of each run of equal residuals in a block; empty where runs are short."""
    position = torch.arange(block * BLOCK, (block + 1) * BLOCK)
    residual = _residual(mapped, frame, position)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), residual.diff().nonzero()[:, 0] + 1])
    if len(starts) > BLOCK // LONG_RUN:
        return ()
    return tuple(zip(position[starts].tolist(), residual[starts].tolist(), strict=True))
