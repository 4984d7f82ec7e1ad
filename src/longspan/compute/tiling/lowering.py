"""From a scheme to tiles: the plain attention calls that, merged by log-sum-exp, add up to the scheme.

Under a mask, a branch of the distance and a segment of the rotation, each query sees one interval of keys, and from row
to row neither end of it moves back. Cut where an end changes its pace (0 or 1 keys per row), such a staircase consists
of four shapes only:

    full        every row sees all keys          causal      row t sees keys 0 … t           (as many keys as rows)
    anticausal  row t sees keys t … rows − 1     band        row t sees the keys j with low ≤ j − t < high

Under a bias every shape becomes row blocks of a fifth one, toeplitz: a band with a number added per diagonal.

The lowering names no part: it reads intervals, branches and segments.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isinf
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.compute.places import Places
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import EVERYWHERE, Band, Rotation, ScoreBias

ALIGNED = 64
"""The number of keys of a strip is a multiple of this."""

Shape = Literal["full", "causal", "anticausal", "band", "toeplitz"]


@dataclass(frozen=True)
class Span:
    """A run of queries against the keys of the same document.

    Arguments:
        queries: number of queries; their orders are first_query, first_query + 1, …
        keys: number of keys; their orders are first_key, first_key + 1, …
        first_query, first_key: order of the first query and the first key.
        shift: coordinate − order, one number for the whole span.
    """

    queries: int
    keys: int
    first_query: int
    first_key: int = 0
    shift: int = 0

    @staticmethod
    def of(queries: Places, keys: Places, regular: bool) -> "Span | None":
        """All queries and all keys as one span; None where they are not runs of one document with equal shifts.

        The shift is 0 unless `regular`, so that spans differ only where it matters.
        """
        q, k = queries.run, keys.run
        if q is None or k is None or (q.shift, q.document) != (k.shift, k.document):
            return None
        return Span(q.count, k.count, q.first, k.first, q.shift if regular else 0)


@dataclass(frozen=True)
class View:
    """One way to rotate queries and keys: a branch of the distance in a segment of the rotation.

    Arguments:
        rotation: the segment's rotation.
        branch: index of the distance's branch.
        origin: position to which decay is relative; None where nothing decays.
        rows, keys: the queries and the keys (start, stop) that tiles of this view touch.
    """

    rotation: Rotation
    branch: int
    origin: int | None
    rows: tuple[int, int]
    keys: tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """`count` equal attention calls; block t covers rows row + t·step … and keys key + t·step ….

    Arguments:
        view: index of the view it computes with.
        shape: which keys a row of the block sees.
        low, high: of a band: row t sees the keys j with low ≤ j − t < high.
        fresh: whether no earlier tile has the same rows, so that its output needs no merging.
    """

    view: int
    shape: Shape
    row: int
    rows: int
    key: int
    keys: int
    count: int = 1
    step: int = 0
    low: int = 0
    high: int = 0
    fresh: bool = False

    @property
    def pairs(self) -> int:
        """Pairs of query and key that exist in the tile."""
        if self.shape == "full":
            pairs = self.rows * self.keys
        elif self.shape in ("band", "toeplitz"):
            pairs = sum(max(0, min(t + self.high, self.keys) - max(t + self.low, 0)) for t in range(self.rows))
        else:
            pairs = self.rows * (self.rows + 1) // 2
        return pairs * self.count

    @property
    def computed(self) -> int:
        """Pairs that the kernel computes, including those that a mask then removes."""
        return self.rows * self.keys * self.count if self.shape in ("band", "toeplitz") else self.pairs


@dataclass(frozen=True)
class Lowering:
    """The tiles of one span, and the views they compute with.

    Arguments:
        complete: whether fresh tiles cover every row, so that no row needs a value to start from.
    """

    span: Span
    views: tuple[View, ...]
    tiles: tuple[Tile, ...]
    complete: bool

    def flops(self, head_dim: int) -> int:
        """Floating-point operations of one head's forward pass: two products of `head_dim` per computed pair."""
        return 4 * head_dim * sum(tile.computed for tile in self.tiles)

    def bytes(self, head_dim: int, itemsize: int) -> int:
        """Bytes that one head's tiles read and write: queries, keys, values and output of every block."""
        return 2 * head_dim * itemsize * sum((tile.rows + tile.keys) * tile.count for tile in self.tiles)

    def __str__(self) -> str:
        total, computed = (sum(getattr(t, name) for t in self.tiles) for name in ("pairs", "computed"))
        lines = [
            f"{self.span.queries} queries, {self.span.keys} keys: {len(self.tiles)} tiles, {total:,} pairs, "
            f"{computed:,} computed",
            f"a head of 64 in float32: {self.flops(64) / 1e9:.3g} GFLOP, {self.bytes(64, 4) / 1e6:.3g} MB moved",
        ]
        for tile in self.tiles:
            view = self.views[tile.view]
            repeat = f"{tile.count} × " if tile.count > 1 else ""
            width = f" of {tile.high - tile.low}" if tile.shape == "band" else ""
            lines.append(
                f"  {repeat}{tile.shape}{width}  rows {tile.row}+{tile.rows}  keys {tile.key}+{tile.keys}  "
                f"branch {view.branch}  {view.rotation.name}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Cut:
    """How to cut a band: into masked strips of `strip` rows, or, where that is None, into triangles of its own width.

    A strip is one call without merging and computes some masked pairs; triangles compute no masked pair and read each
    key once per triangle, which suits a backward pass. Under a bias, a block has `biased_rows` rows.

    Causal tiles are halved `halvings` times, into smaller ones side by side and the squares between them, but never to
    fewer than `smallest` rows: the kernel gives each thread equally many blocks of rows, and the later blocks of a
    causal call see more keys.
    """

    strip: int | None
    biased_rows: int = 1024
    halvings: int = 0
    smallest: int = 768


def lowering(scheme: Scheme, length: int, cut: Cut = Cut(256)) -> Lowering:
    """The tiles of self-attention over one document of `length` tokens; `print` shows them."""
    return lower(scheme, Span(length, length, 0), cut)


def with_common_views(forward: Lowering, backward: Lowering) -> tuple[Lowering, Lowering]:
    """Both lowerings with views that hold the rows and keys of either: strips may read more keys than triangles."""
    views = tuple(
        replace(
            a,
            rows=(min(a.rows[0], b.rows[0]), max(a.rows[1], b.rows[1])),
            keys=(min(a.keys[0], b.keys[0]), max(a.keys[1], b.keys[1])),
        )
        for a, b in zip(forward.views, backward.views, strict=True)
    )
    return replace(forward, views=views), replace(backward, views=views)


def visible_keys(scheme: Scheme, span: Span) -> list[tuple[Tensor, Tensor]]:
    """The keys that each query sees, as one or two intervals (first, one past the last) that do not overlap."""
    order = torch.arange(span.first_query, span.first_query + span.queries)
    start, stop = scheme.mask.interval(order, scheme.direction.causal)
    if scheme.direction.causal:
        stop = torch.minimum(stop, order + 1)
    start, stop = (bound.sub(span.first_key).clamp(0, span.keys) for bound in (start, stop))
    sinks = max(0, scheme.mask.sinks - span.first_key)
    if not sinks:
        return [(start, stop)]
    # A row whose interval touches the sinks sees one interval.
    seen = (order + 1 - span.first_key).clamp(0, sinks) if scheme.direction.causal else torch.full_like(order, sinks)
    seen = seen.clamp(max=span.keys)
    touching = start <= seen
    joined = torch.where(touching, 0, start), torch.where(touching, torch.maximum(stop, seen), stop)
    return [joined, (torch.zeros_like(start), torch.where(touching, 0, seen))]


@remember(16)
def count_visible(scheme: Scheme, span: Span, device: torch.device) -> Int64[Tensor, "1 1 queries"]:
    """How many keys each query sees; layer after layer asks the same."""
    counts = [(stop - start).clamp(min=0) for start, stop in visible_keys(scheme, span)]
    return torch.stack(counts).sum(0)[None, None].to(device)


@remember(512)
def lower(
    scheme: Scheme, span: Span, cut: Cut, decay_span: int = 0, within: Band = EVERYWHERE, biased: bool = False
) -> Lowering:
    """The tiles of one span; every pair that exists `within` a band of positions lies in exactly one of them.

    `decay_span` is the number of tokens over which decaying keys may share an origin (0: the spectrum's own block);
    `biased` asks for toeplitz tiles also where the scheme has no bias.
    """
    if biased := biased or isinstance(scheme.bias, ScoreBias):
        cut = replace(cut, halvings=0)  # blocks of rows under a bias see about as many keys each
    areas = visible_keys(scheme, span)
    position = torch.arange(span.first_query, span.first_query + span.queries) + span.shift
    least, most = band_keys(within, position, span)
    areas = [(torch.maximum(low, least), torch.minimum(high, most)) for low, high in areas]
    views: dict[tuple[Rotation, int, int | None], int] = {}
    tiles: list[Tile] = []
    last = int(position[-1]) + 1
    for segment in scheme.rotation.segments(last):
        rows = (position >= segment.start) & (position < segment.stop)
        for index, branch in enumerate(scheme.distance.branches()):
            for origin, first, end in _origins(segment.rotation, span, decay_span):
                view = views.setdefault((segment.rotation, index, origin), len(views))
                for low, high in areas:
                    a, b = band_keys(branch.holds, position, span)
                    a, b = torch.maximum(torch.maximum(a, low), first), torch.minimum(torch.minimum(b, high), end)
                    tiles += _staircase(a, torch.where(rows, b, a), view, cut)
    tiles = list(_batched(tiles))
    if biased:
        tiles = [block for tile in tiles for block in _toeplitz(tile, cut.biased_rows)]
    order_of_work = sorted(tiles, key=lambda tile: (tile.row, -tile.rows * tile.count))
    used = [view for view in range(len(views)) if any(tile.view == view for tile in tiles)]
    renumber = {view: index for index, view in enumerate(used)}
    keys = list(views)
    ordered = tuple(replace(tile, view=renumber[tile.view], fresh=fresh) for tile, fresh in _freshness(order_of_work))
    return Lowering(
        span,
        tuple(_view(*keys[view], [tile for tile in tiles if tile.view == view]) for view in used),
        ordered,
        complete=sum(tile.rows * tile.count for tile in ordered if tile.fresh) == span.queries,
    )


def _batched(tiles: list[Tile]) -> Iterator[Tile]:
    """The same tiles, with equal tiles that advance by as many keys as rows made one."""
    alike: dict[Tile, list[Tile]] = {}
    for tile in tiles:
        alike.setdefault(replace(tile, row=tile.row - tile.key, key=0), []).append(tile)
    for group in alike.values():
        first, steps = group[0], {b.row - a.row for a, b in pairwise(group)}
        if first.count == 1 and len(steps) == 1 and (step := steps.pop()) >= first.rows:
            yield replace(first, count=len(group), step=step)
        else:
            yield from group


def _view(rotation: Rotation, branch: int, origin: int | None, tiles: list[Tile]) -> View:
    rows = min(t.row for t in tiles), max(t.row + t.rows + t.step * (t.count - 1) for t in tiles)
    keys = min(t.key for t in tiles), max(t.key + t.keys + t.step * (t.count - 1) for t in tiles)
    return View(rotation, branch, origin, rows, keys)


def _freshness(tiles: list[Tile]) -> Iterator[tuple[Tile, bool]]:
    """Whether each tile is the first on its rows; tiles come ordered by row."""
    covered = 0
    for tile in tiles:
        yield tile, covered <= tile.row
        covered = max(covered, tile.row + tile.rows + tile.step * (tile.count - 1))


def _origins(rotation: Rotation, span: Span, decay_span: int) -> list[tuple[int | None, Tensor, Tensor]]:
    """Key ranges that share an origin of decay: all keys where nothing decays."""
    if not rotation.decays:
        return [(None, torch.tensor(0), torch.tensor(span.keys))]
    size = decay_span or rotation.decay_block
    offset = span.first_key + span.shift
    origins = range(offset // size * size, offset + span.keys, size)
    return [(origin, torch.tensor(origin - offset), torch.tensor(origin - offset + size)) for origin in origins]


def band_keys(band: Band, position: Int64[Tensor, " rows"], span: Span) -> tuple[Tensor, Tensor]:
    """First key and one past the last key for which the band holds, for queries at some positions."""
    block = position.div(band.block, rounding_mode="floor")
    offset = span.first_key + span.shift

    def edge(bound: float, unbounded: int) -> Tensor:
        if isinf(bound):
            return torch.full_like(position, unbounded)
        return ((block - int(bound) + 1) * band.block - offset).clamp(0, span.keys)

    return edge(band.stop, 0 if band.stop > 0 else span.keys), edge(band.start, span.keys if band.start < 0 else 0)


def _staircase(a: Tensor, b: Tensor, view: int, cut: Cut) -> Iterator[Tile]:
    """Tiles for rows i that see the keys a(i) … b(i) − 1."""
    for first, end, slope in _runs(a, b):
        rows, low, high = end - first, int(a[first]), int(b[first])
        if slope == (0, 0):
            yield Tile(view, "full", first, rows, low, high - low)
        elif slope == (0, 1):
            if high - low > 1:
                yield Tile(view, "full", first, rows, low, high - low - 1)
            yield from _causal(view, first, rows, high - 1, cut)
        elif slope == (1, 0):
            if high - low > rows:
                yield Tile(view, "full", first, rows, low + rows, high - low - rows)
            yield Tile(view, "anticausal", first, rows, low, rows)
        else:
            yield from _band(view, first, rows, low, high - low, cut)


def _causal(view: int, first: int, rows: int, key: int, cut: Cut) -> Iterator[Tile]:
    """Row first + t sees keys key … key + t."""
    halvings = cut.halvings
    while halvings and rows >> halvings < cut.smallest:
        halvings -= 1
    size, count = rows >> halvings, 1 << halvings
    yield Tile(view, "causal", first, size, key, size, count, size if halvings else 0)
    while count > 1:
        count //= 2
        yield Tile(view, "full", first + size, size, key, size, count, 2 * size if count > 1 else 0)
        size *= 2
    if rest := rows - size:
        yield Tile(view, "full", first + size, rest, key, size)
        yield Tile(view, "causal", first + size, rest, key + size, rest)


def _band(view: int, first: int, rows: int, low: int, width: int, cut: Cut) -> Iterator[Tile]:
    """Row first + t sees keys low + t … low + t + width − 1."""
    if width == 1:
        cut = Cut(64)
    if cut.strip is not None:
        strip = min(cut.strip, max(64, 1 << (width - 1).bit_length()))
        blocks, rest = divmod(rows, strip)
        if blocks:
            # A number of keys that the kernel's blocks divide is faster than one key less.
            spare = min(low, -(strip + width - 1) % ALIGNED)
            keys = spare + strip + width - 1
            yield Tile(view, "band", first, strip, low - spare, keys, blocks, strip, spare, spare + width)
        if rest:
            done = blocks * strip
            yield Tile(view, "band", first + done, rest, low + done, rest + width - 1, 1, 0, 0, width)
        return
    blocks, rest = divmod(rows, width)
    if blocks:
        yield Tile(view, "anticausal", first, width, low, width, blocks, width)
        yield Tile(view, "causal", first + 1, width - 1, low + width, width - 1, blocks, width)
    if rest:
        row, key = first + blocks * width, low + blocks * width
        yield Tile(view, "full", row, rest, key + rest, width - rest)
        yield Tile(view, "anticausal", row, rest, key, rest)
        if rest > 1:
            yield Tile(view, "causal", row + 1, rest - 1, key + width, rest - 1)


def _toeplitz(tile: Tile, size: int) -> Iterator[Tile]:
    """The same pairs in blocks of `size` rows, each on the keys that its rows see."""
    far = tile.rows + tile.keys
    low = {"full": -far, "causal": -far, "anticausal": 0, "band": tile.low}[tile.shape]
    high = {"full": far, "causal": 1, "anticausal": far, "band": tile.high}[tile.shape]
    size = tile.rows if tile.shape == "full" else size
    for start in range(0, tile.rows, size):
        rows = min(size, tile.rows - start)
        first, end = max(0, start + low), min(tile.keys, start + rows - 1 + high)
        moved = replace(tile, shape="toeplitz", row=tile.row + start, rows=rows, key=tile.key + first, keys=end - first)
        yield replace(moved, low=low + start - first, high=high + start - first)


def _runs(a: Tensor, b: Tensor) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Maximal runs of rows with keys, in which each end of the interval keeps one pace, 0 or 1 keys per row."""
    sees = b > a
    pace = torch.stack([a.diff(), b.diff()])
    steady = sees[1:] & sees[:-1] & ((pace == 0) | (pace == 1)).all(0)
    code = torch.where(steady, pace[0] * 2 + pace[1], -1).tolist()
    row, rows = 0, len(a)
    seen = sees.tolist()
    while row < rows:
        if not seen[row]:
            row += 1
            continue
        end = row + 1
        if end < rows and code[row] >= 0:
            while end < rows and code[end - 1] == code[row]:
                end += 1
        yield row, end, divmod(code[row], 2) if end > row + 1 else (0, 0)
        row = end
