"""What one decoding step has to do, whatever the tensors: which keys its rows see, and how far each still has to turn.

Rows come last first throughout, so that a bias that depends on i − j is a strided view of one line of numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.compute.rotate import ChannelTables, channel_tables, decay_span, rotate_channels, tables
from longspan.compute.tiling.lowering import Span, band_keys, visible_keys
from longspan.memo import ANGLES, PRODUCTS, numbers_of, remember
from longspan.position_map import PositionMap
from longspan.scheme import Scheme
from longspan.slots import Branch, Layout, Spectrum

FEW = 8
"""More queries than this are no decoding step."""

CHUNK = 2**12
"""Keys that turn at once: few enough for the processor's cache to hold them until they are read."""

TOGETHER = 2**14
"""Coordinates that are looked at together when asking which of their keys turn alike."""

WORTH = 2**9
"""Keys that turn alike are read where they lie, by a query of their own, where there are so many of them."""

Seen = tuple[tuple[int, int], ...]
"""First key and one past the last, row by row."""


@dataclass(frozen=True, eq=False)
class Turn:
    """By how much places still turn.

    Arguments:
        places: from the first on; there may be more of them than there are tokens.
        spectrum: in which they turn.
        shrink: what decays shrinks by so many tokens a place: 1 for queries, -1 for keys.
    """

    places: Shaped[Tensor, "batch places 1"]
    spectrum: Spectrum
    shrink: int

    def ready(self, tokens: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> "Turning":
        """For so many tokens, by angles that are remembered: those of a window are the same in the next step."""
        layout = self.spectrum.layout

        def make() -> ChannelTables:
            decay = self.shrink * self.places[..., 0] if self.spectrum.decays else None
            return channel_tables(tables(self.places, self.spectrum, decay), layout, head_dim, dtype, device)

        cos, sin = ANGLES.get((self._spelled, layout, head_dim, dtype, device), make)
        return Turning((cos[:, :, :tokens], sin[:, :, :tokens]), layout)

    def product(
        self, tokens: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> Float[Tensor, "tokens before after"]:
        """The same as matrices, one a token: its channels to those at each batch of places."""

        def make() -> tuple[Tensor]:
            basis = torch.eye(head_dim, dtype=dtype, device=device)[None, :, None]
            each = self.ready(tokens, head_dim, dtype, device)(basis.expand(len(self.places), -1, tokens, -1))
            return (each.permute(2, 1, 0, 3).reshape(tokens, head_dim, -1),)

        return PRODUCTS.get((self._spelled, self.spectrum.layout, tokens, head_dim, dtype, device), make)[0]

    @cached_property
    def _spelled(self) -> tuple[object, ...]:
        # Coordinates that are no whole numbers come with roundings of their own: those name the same angles.
        whole = (self.places * 2**28).round()
        spectrum = self.spectrum
        return *numbers_of(whole, spectrum.frequencies, spectrum.log_decay * self.shrink), whole.shape, spectrum.gain


@dataclass(frozen=True, eq=False)
class Turning:
    """A turn of known angles, ready for the tensors of every layer."""

    angles: ChannelTables
    layout: Layout

    def __call__(self, x: Float[Tensor, "_ heads tokens d"]) -> Float[Tensor, "_ heads tokens d"]:
        """Tokens turned."""
        return rotate_channels(x, self.angles, self.layout)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some keys under one branch of the distance.

    Arguments:
        first, end: first key and one past the last.
        seen: what each row sees of them; None where every row sees all.
        keys: how far the keys still turn; None where they stand.
    """

    first: int
    end: int
    seen: Seen | None
    keys: Turn | None

    @cached_property
    def blind(self) -> list[int]:
        """The rows that see none of the keys."""
        return [row for row, (a, b) in enumerate(self.seen or ()) if a >= b]


@dataclass(frozen=True, eq=False)
class Step:
    """All that the rows of a step see.

    Arguments:
        pieces: the keys; a row's are disjoint.
        queries: how far the rows still turn, (pieces, or 1 for all, rows, 1); None where they stand.
    """

    pieces: tuple[Piece, ...]
    queries: Turn | None


def step(
    scheme: Scheme, frames: tuple[PositionMap | None, PositionMap | None], span: Span, head_dim: int, dtype: torch.dtype
) -> Step | None:
    """The step of a span; None where its rows share no spectrum, or where a row sees nothing.

    Keys turn chunk by chunk, each from its own first key on, so that one short table serves all chunks, and what grows
    with a key's place does not grow far. Keys of a decaying spectrum must stand at their true distance, else None.
    """
    place = torch.arange(span.first_query, span.first_query + span.queries).flip(0) + span.shift
    high, low = int(place[0]), int(place[-1])
    segment = next(s for s in scheme.rotation.segments(high + 1) if s.start <= high < s.stop)
    spectrum = segment.rotation.spectrum(head_dim)
    if low < segment.start or (spectrum.decays and not scheme.distance.is_true):
        return None
    chunk = decay_span(spectrum, dtype, CHUNK) if spectrum.decays else CHUNK if spectrum.rotary_dim else span.keys
    query_frame, key_frame = frames
    gain = spectrum.gain ** frames.count(None)  # queries get that of both sides
    key_spectrum, query_spectrum = replace(spectrum, gain=1.0), replace(spectrum, gain=gain)
    pieces: list[Piece] = []
    queries: list[Tensor] = []
    offset = span.first_key + span.shift
    for branch, first, end, rows in _keys(scheme, span, place):
        for keys, back, left in _turns(branch.key, key_frame, range(offset + first, offset + end), chunk):
            turns = None if left is None or not spectrum.rotary_dim else Turn(left[None, :, None], key_spectrum, -1)
            start, stop = keys.start - offset, keys.stop - offset
            pieces.append(Piece(start, stop, _seen(rows, start, stop), turns))
            queries.append(_left(branch.query, query_frame, place).double() - back)
    if not pieces or set(range(span.queries)).intersection(*(piece.blind for piece in pieces)):
        return None
    left = _shared(pieces, torch.stack(queries))[..., None]
    stand = not spectrum.rotary_dim or (gain == 1.0 and not bool(left.any()))
    return Step(tuple(pieces), None if stand else Turn(left, query_spectrum, 1))


def _shared(pieces: list[Piece], queries: Shaped[Tensor, "pieces rows"]) -> Shaped[Tensor, "served rows"]:
    """How far the rows turn for each piece, or for all: the one with keys that turn has them turn the rest as well."""
    turning = [i for i, piece in enumerate(pieces) if piece.keys]
    standing = [i for i, piece in enumerate(pieces) if not piece.keys]
    if len(turning) != 1 or not standing:
        return queries
    rest = queries - queries[standing[0]]
    if rest[standing].any() or (rest != rest[:, :1]).any():
        return queries
    found = pieces[turning[0]]
    assert found.keys is not None
    pieces[turning[0]] = replace(found, keys=replace(found.keys, places=found.keys.places - rest[turning[0], 0]))
    return queries[standing[:1]]


def _keys(scheme: Scheme, span: Span, place: Tensor) -> Iterator[tuple[Branch, int, int, Seen]]:
    """Branch, first key, one past the last, and what rows see there and beside it."""
    areas = [(low.flip(0), high.flip(0)) for low, high in visible_keys(scheme, span)]
    for branch in scheme.distance.branches():
        a, b = band_keys(branch.holds, place, span)
        for low, high in areas:
            starts, stops = torch.maximum(a, low).tolist(), torch.minimum(b, high).tolist()
            rows = tuple(zip(starts, stops, strict=True))
            for start, stop in _cut(rows):
                yield branch, start, stop, rows


def _cut(rows: Seen) -> Iterator[tuple[int, int]]:
    """The keys that all rows see, and those before and behind them that only some see."""
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
    """What rows see of some keys; None where all see all."""
    seen = tuple((max(a, start), min(b, stop)) for a, b in rows)
    return None if set(seen) == {(start, stop)} else seen


def _turns(
    said: PositionMap, frame: PositionMap | None, keys: range, chunk: int
) -> Iterator[tuple[range, float, Tensor | None]]:
    """Keys, how far the first of them still turns, and by how much more the others do; None where all turn alike."""
    blocks = range(keys.start // TOGETHER, (keys.stop - 1) // TOGETHER + 1)
    alike = [_alike(said, frame, block) for block in blocks]
    if all(alike):
        runs = [run for some in alike for run in some]
        changes = [runs[0], *(run for before, run in pairwise(runs) if run[1] != before[1])]
        for (start, back), (stop, _) in pairwise([*changes, (keys.stop, 0.0)]):
            if some := range(max(start, keys.start), min(stop, keys.stop)):
                yield some, back, None
        return
    for start in range(0, len(keys), chunk):
        some = keys[start : start + chunk]
        # Up to a power of two, so that the angles of a growing cache last for a while.
        count = 1 << (len(some) - 1).bit_length()
        left = _left(said, frame, torch.arange(some.start, some.start + count))
        yield some, left[0].item(), left - left[0]


def _left(said: PositionMap, frame: PositionMap | None, place: Tensor) -> Tensor:
    return said(place) if frame is None else said(place) - frame(place)


@remember(4096)
def _alike(said: PositionMap, frame: PositionMap | None, block: int) -> tuple[tuple[int, float], ...]:
    """First keys of runs that turn alike in a block of coordinates, and how far they do; empty where runs are short."""
    place = torch.arange(block * TOGETHER, (block + 1) * TOGETHER)
    left = _left(said, frame, place)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), left.diff().nonzero()[:, 0] + 1])
    if len(starts) > TOGETHER // WORTH:
        return ()
    return tuple(zip(place[starts].tolist(), left[starts].tolist(), strict=True))
