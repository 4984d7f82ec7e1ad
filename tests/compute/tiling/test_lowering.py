"""The lowering: tiles hold every existing pair exactly once, and no pair that does not exist."""

from dataclasses import replace
from itertools import product
from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PER_METHOD, names, schemes
from longspan.compute.kernels import cpu, cuda
from longspan.compute.tiling.lowering import (
    Cut,
    Lowering,
    Span,
    Tile,
    View,
    band_keys,
    lower,
    lowering,
    visible_keys,
    with_common_views,
)
from longspan.notation import parse
from longspan.scheme import Scheme
from longspan.slots import EVERYWHERE, Band


def pairs(tile: Tile, rows: int, keys: int) -> torch.Tensor:
    """Draw the pairs of a tile on the grid of queries and keys, from its definition."""
    grid = torch.zeros(rows, keys, dtype=torch.int64)
    t, j = torch.arange(tile.rows)[:, None], torch.arange(tile.keys)[None]
    seen = {
        "full": t * 0 + j * 0 == 0,
        "causal": j <= t,
        "anticausal": j >= t,
        "band": (j - t >= tile.low) & (j - t < tile.high),
        "toeplitz": (j - t >= tile.low) & (j - t < tile.high),
    }[tile.shape]
    for block in range(tile.count):
        row, key = tile.row + block * tile.step, tile.key + block * tile.step
        grid[row : row + tile.rows, key : key + tile.keys] += seen
    return grid


def existing(scheme: Scheme, span: Span, branch: int, low: int, high: int) -> torch.Tensor:
    """The pairs of a branch in the segment low ≤ position < high, from the definitions of the parts."""
    query = torch.arange(span.queries)[:, None] + span.first_query
    key = torch.arange(span.keys)[None] + span.first_key
    position = query + span.shift
    holds = scheme.distance.branches()[branch].holds(position, key + span.shift)
    return scheme.mask(query, key, scheme.direction.causal) & holds & (position >= low) & (position < high)


def touched(tiles: list[Tile], rows: int, keys: int) -> torch.Tensor:
    """The blocks that tiles read, existing pairs or not, on the grid of queries and keys."""
    grid = torch.zeros(rows, keys, dtype=torch.int64)
    for tile in tiles:
        for start in range(0, tile.count * tile.step or 1, tile.step or 1):
            row, key = tile.row + start, tile.key + start
            grid[row : row + tile.rows, key : key + tile.keys] += 1
    return grid


def assert_right(plan: Lowering, scheme: Scheme, within: Band = EVERYWHERE) -> None:
    """Tiles hold every pair once, views hold what their tiles read, and a fresh tile is the first on its rows."""
    span = plan.span
    coordinates = (torch.arange(span.queries)[:, None] + span.first_query + span.shift,
                   torch.arange(span.keys) + span.first_key + span.shift)  # fmt: skip
    for segment in scheme.rotation.segments(span.first_query + span.queries + span.shift):
        for branch in range(len(scheme.distance.branches())):
            drawn = torch.zeros(span.queries, span.keys, dtype=torch.int64)
            for tile in plan.tiles:
                view = plan.views[tile.view]
                if view.branch == branch and view.rotation == segment.rotation:
                    grid = pairs(tile, span.queries, span.keys)
                    assert tile.pairs == grid.sum()
                    drawn += grid
            wanted = existing(scheme, span, branch, segment.start, segment.stop) & within(*coordinates)
            assert torch.equal(drawn, wanted.long())
    for index, view in enumerate(plan.views):
        read = touched([tile for tile in plan.tiles if tile.view == index], span.queries, span.keys)
        rows, keys = (read.sum(axis).nonzero() for axis in (1, 0))
        assert view.rows == (rows.min(), rows.max() + 1)
        assert view.keys == (keys.min(), keys.max() + 1)
    begun, started = torch.zeros(2, span.queries, dtype=torch.bool)
    for tile in plan.tiles:
        rows = touched([tile], span.queries, span.keys).any(1)
        assert not (tile.fresh and (begun & rows).any())
        begun |= rows
        started |= rows & tile.fresh
    assert plan.complete == started.all()


@pytest.mark.parametrize(
    ("width", "rows"), [(1, 64), (5, 64), (64, 64), (65, 128), (128, 128), (129, 256), (256, 256), (257, 256)]
)
def test_strips_are_as_tall_as_the_band_is_wide(width: int, rows: int) -> None:
    """A strip has a power of two of rows, at least 64 and at most as many as asked for, on a diagonal too."""
    plan = lower(parse(f"rope + window({width})"), Span(512, 1024, 512), Cut(256))
    assert [(tile.shape, tile.rows, tile.count) for tile in plan.tiles] == [("band", rows, 512 // rows)]
    diagonal = lower(parse("rope + window(1)"), Span(512, 1024, 512), Cut(None))
    assert [(tile.shape, tile.rows) for tile in diagonal.tiles] == [("band", 64)]


def test_blocks_under_a_bias_read_what_their_rows_see() -> None:
    """A triangle reads one block of keys more per block of rows; where all rows see all keys, no cut saves any."""

    def blocks(text: str) -> list[tuple[int, int, int, int]]:
        plan = lower(parse(text), Span(256, 256, 0), Cut(256, biased_rows=64))
        return [(tile.row, tile.rows, tile.key, tile.keys) for tile in plan.tiles]

    assert blocks("alibi") == [(0, 64, 0, 64), (64, 64, 0, 128), (128, 64, 0, 192), (192, 64, 0, 256)]
    assert blocks("alibi + bidirectional") == [(0, 256, 0, 256)]


def test_equal_blocks_are_one_call() -> None:
    """After the first two half-blocks of four, each sees the one before in full and itself causally."""
    plan = lowering(parse("rope + blockwise(8)"), 64)
    assert [(tile.shape, tile.row, tile.rows, tile.key, tile.keys, tile.count, tile.step) for tile in plan.tiles] == [
        ("causal", 0, 8, 0, 8, 1, 0),
        ("full", 8, 4, 4, 4, 14, 4),
        ("causal", 8, 4, 8, 4, 14, 4),
    ]
    assert [tile.fresh for tile in plan.tiles] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "span", "strip", "first"),
    [
        ("rerope(1024)", Span(3076, 4100, 1024), 256, ("causal", 3076, 1)),  # strips of near keys begin 12 · 256 rows
        ("rope + window(1, sinks=2)", Span(65, 131, 66), None, ("full", 65, 1)),  # the diagonal begins 64
        ("rerope(1) + window(3)", Span(130, 260, 130), None, ("anticausal", 2, 65)),  # the diagonal begins 2 · 64
    ],
)
def test_the_tile_that_begins_most_rows_comes_first(text: str, span: Span, strip: int | None, first: tuple) -> None:
    """No row then needs a value to start from."""
    plan = lower(parse(text), span, Cut(strip))
    assert (plan.tiles[0].shape, plan.tiles[0].rows, plan.tiles[0].count) == first
    assert plan.complete
    assert [tile.fresh for tile in plan.tiles] == [True, *(len(plan.tiles) - 1) * [False]]


def test_a_row_alone_is_one_call() -> None:
    (tile,) = lower(parse("rope"), Span(1, 9, 8), Cut(256)).tiles
    assert (tile.shape, tile.rows, tile.key, tile.keys) == ("full", 1, 0, 9)


def test_chunks_that_follow_one_another_begin_their_own_rows() -> None:
    """Six chunks of six rows are one call, then comes the chunk of four that is left."""
    plan = lowering(parse("dual_chunk(8, 2)"), 40)
    assert [(tile.row, tile.rows, tile.count) for tile in plan.tiles if tile.fresh] == [(0, 6, 6), (36, 4, 1)]
    assert plan.complete


def test_decaying_keys_share_an_origin() -> None:
    """An origin is the start of a block of positions: a key grows from there, and earlier queries do not see it."""
    origins = [(view.origin, view.rows, view.keys) for view in lowering(parse("xpos"), 1024).views]
    assert origins == [(0, (0, 1024), (0, 512)), (512, (512, 1024), (512, 1024))]
    wider = lower(parse("xpos"), Span(1024, 1024, 0), Cut(256), 1024)
    assert [view.origin for view in wider.views] == [0]
    late = lower(parse("xpos(scale_base=8)"), Span(6, 16, 13, 3, 5), Cut(256))
    assert [(view.origin, view.keys) for view in late.views] == [(8, (0, 8)), (16, (8, 16))]
    assert [view.origin for view in lowering(parse("rope"), 1024).views] == [None]


def test_common_views_hold_what_either_reads() -> None:
    rope, span = parse("rope").rotation, Span(9, 9, 0)
    early, late = View(rope, 0, None, (0, 5), (3, 8)), View(rope, 0, None, (2, 9), (1, 4))
    plans = Lowering(span, (early, late), (), complete=False), Lowering(span, (late, early), (), complete=False)
    both = View(rope, 0, None, (0, 9), (1, 8))
    assert [plan.views for plan in with_common_views(*plans)] == 2 * [(both, both)]
    with pytest.raises(ValueError, match="zip"):
        with_common_views(plans[0], replace(plans[1], views=(early,)))


def test_cost_of_three_blocks_by_hand() -> None:
    """3 · 64 · 128 products are computed, 65 · 64 per block are wanted; two where the lower rows see nothing."""
    strips = Tile(0, "band", 0, 64, 0, 128, count=3, step=64, low=0, high=65)
    assert (strips.pairs, strips.computed) == (3 * 64 * 65, 3 * 64 * 128)
    square = Tile(0, "full", 192, 8, 0, 4)
    plan = Lowering(Span(200, 320, 120), (), (strips, square), complete=False)
    assert plan.flops(16) == 2 * 2 * 16 * (3 * 64 * 128 + 8 * 4)
    assert plan.bytes(16, 2) == 16 * 2 * (3 * (64 + 128 + 128 + 64) + 8 + 4 + 4 + 8)
    assert Tile(0, "toeplitz", 0, 4, 0, 2, low=0, high=1).pairs == 2


def test_rerope_costs_the_pairs_of_plain_causal_attention() -> None:
    plain, rerope = lowering(parse("rope"), 4096), lowering(parse("rerope(1024)"), 4096, Cut(None))
    assert sum(t.pairs for t in rerope.tiles) == sum(t.pairs for t in plain.tiles) == 4096 * 4097 // 2
    assert sum(t.computed for t in rerope.tiles) == 4096 * 4097 // 2
    assert len(rerope.tiles) == 4


def test_halved_tiles_are_even_and_side_by_side() -> None:
    plan = lower(parse("rope"), Span(1003, 1003, 0), Cut(None, halvings=2, smallest=100))
    triangles, *rest = plan.tiles
    assert (triangles.shape, triangles.rows, triangles.count, triangles.step) == ("causal", 250, 4, 250)
    assert {(tile.shape, tile.rows, tile.keys, tile.count) for tile in rest} == {
        ("full", 250, 250, 2), ("full", 500, 500, 1), ("full", 3, 1000, 1), ("causal", 3, 3, 1),
    }  # fmt: skip
    small = lower(parse("rope"), Span(1003, 1003, 0), Cut(None, halvings=9, smallest=300))
    assert max(tile.count for tile in small.tiles) == 2
    exact = lower(parse("rope"), Span(1000, 1000, 0), Cut(None, halvings=9, smallest=250))
    assert exact.tiles[0].rows == 250
    biased = parse("alibi"), Span(1003, 1003, 0)
    assert lower(*biased, Cut(256, halvings=2, smallest=100)) == lower(*biased, Cut(256))


@pytest.mark.parametrize(
    ("threads", "batch", "heads", "wanted"),
    [
        (1, 1, 9, 0),
        (2, 1, 9, 1),
        (2, 1, 8, 0),
        (2, 2, 9, 0),
        (4, 2, 9, 2),
        (16, 1, 9, 4),
        (64, 1, 32, 1),
        (2, 1, 33, 0),
    ],
)
def test_threads_get_equal_shares_of_causal_tiles(
    monkeypatch: pytest.MonkeyPatch, threads: int, batch: int, heads: int, wanted: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert cpu.halvings(batch, heads) == wanted
    assert cuda.halvings(batch, heads) == 0


def test_prints_tiles() -> None:
    text = str(lowering(parse("rerope(1024)"), 4096))
    assert "3 tiles, 8,390,656 pairs" in text
    plain = lowering(parse("rope"), 4096)
    assert plain.flops(64) == 4 * 64 * 4096 * 4097 // 2
    assert plain.bytes(64, 2) == 2 * 4 * 4096 * 64
    assert "12 × band of 1024" in text
    assert str(lowering(parse("rope"), 4)).splitlines() == [
        "4 queries, 4 keys: 1 tiles, 10 pairs, 10 computed",
        "a head of 64 in float32: 2.56e-06 GFLOP, 0.0041 MB moved",
        "  causal  rows 0+4  keys 0+4  branch 0  rope",
    ]


SMALL = [
    "rope",
    "rope + window(1)",
    "rope + window(3, sinks=2)",
    "rerope(1) + window(3, sinks=2)",
    "rope + blockwise(4, sinks=1)",
    "rope + blockwise(2, sinks=7)",
    "dual_chunk(8, 2)",
    "self_extend(4, 2)",
    "xpos(scale_base=8)",
    "dynamic_ntk(8)",
    "rerope(3) + window(4, sinks=3) + bidirectional",
]


@pytest.mark.parametrize("text", SMALL)
def test_small_documents_and_their_ends(text: str) -> None:
    """Whole documents, and the later half of their queries against keys that begin late; no tile is empty, for the
    flash kernel dies on an empty tensor.
    """
    scheme = parse(text)
    for length in (1, 2, 3, 5, 7, 8, 12, 21, 34):
        half = (length + 1) // 2
        for span in (Span(length, length, 0), Span(half, length, 3 + length - half, 3, 5)):
            for cut in (Cut(256, biased_rows=3), Cut(None, 5, halvings=2, smallest=3)):
                for within, biased in ((EVERYWHERE, False), (Band(-2, 5), True), (Band(start=3, block=2), False)):
                    plan = lower(scheme, span, cut, 0, within, biased)
                    assert all(tile.rows > 0 and tile.keys > 0 for tile in plan.tiles)
                    assert_right(plan, scheme, within)


@pytest.mark.parametrize("text", ["rope + window(5)", "rope + window(100, sinks=3)", "rerope(70)"])
@pytest.mark.parametrize("cut", [Cut(64), Cut(256), Cut(None)])
def test_strips_of_long_bands(text: str, cut: Cut) -> None:
    for span in (Span(300, 300, 0), Span(256, 400, 147, 3)):
        plan = lower(parse(text), span, cut)
        assert_right(plan, parse(text))
        for tile in plan.tiles:
            if tile.count > 1 and tile.shape == "band" and tile.key > 0:
                assert tile.keys % 64 == 0, "blocks of 64 keys, which the kernels' own divide"


@pytest.mark.parametrize("text", [*SMALL, "rope + window(1, sinks=4)", "rope + blockwise(4, sinks=4) + bidirectional"])
def test_visible_keys_are_those_of_the_mask(text: str) -> None:
    """They are intervals of the given keys that neither overlap nor touch, for queries at any position."""
    scheme = parse(text)
    for keys, first_query, first_key in product((1, 2, 6, 13), (0, 1, 4, 9), (0, 1, 3, 6)):
        span = Span(12, keys, first_query, first_key)
        areas = visible_keys(scheme, span)
        order, key = torch.arange(first_query, first_query + 12)[:, None], torch.arange(keys)
        drawn = torch.zeros(12, keys, dtype=torch.int64)
        for start, stop in areas:
            assert ((start >= 0) & (start <= keys) & (stop >= 0) & (stop <= keys)).all()
            drawn += (key >= start[:, None]) & (key < stop[:, None])
        wanted = scheme.mask(order, key + first_key, scheme.direction.causal)
        assert torch.equal(drawn, wanted.long())
        if len(areas) == 2:
            (start, stop), (first, end) = areas
            assert not ((start < stop) & (first < end) & (end == start)).any()


@pytest.mark.parametrize(
    "band", [EVERYWHERE, Band(-2, 3), Band(3), Band(stop=-2), Band(0, 2, block=3), Band(inf), Band(stop=-inf)]
)
def test_keys_of_a_band_are_those_for_which_it_holds(band: Band) -> None:
    """They are one interval of the given keys, for queries at any position."""
    for keys, first_query, first_key, shift in product((1, 6, 13), (0, 4, 9), (0, 3), (0, 5)):
        span = Span(12, keys, first_query, first_key, shift)
        position, key = torch.arange(12) + first_query + shift, torch.arange(keys)
        first, end = band_keys(band, position, span)
        assert ((first >= 0) & (first <= keys) & (end >= 0) & (end <= keys)).all()
        held = (key >= first[:, None]) & (key < end[:, None])
        assert torch.equal(held, band(position[:, None], key + first_key + shift))


@pytest.mark.parametrize("name", [name for slot in ("mask", "distance", "rotation", "bias") for name in names(slot)])
@settings(max_examples=PER_METHOD)
@given(data=st.data())
def test_tiles_hold_every_pair_once(name: str, data: st.DataObject) -> None:
    scheme = data.draw(schemes(with_part=name))
    keys = data.draw(st.integers(1, 60))
    queries = data.draw(st.integers(1, keys))
    first_key = data.draw(st.sampled_from([0, 0, 3]))
    span = Span(queries, keys, first_key + keys - queries, first_key, data.draw(st.sampled_from([0, 5])))
    strip, biased_rows = data.draw(st.sampled_from([None, 64, 256])), data.draw(st.sampled_from([7, 512]))
    cut = Cut(strip, biased_rows, data.draw(st.integers(0, 4)), smallest=data.draw(st.integers(1, 9)))
    assert_right(lower(scheme, span, cut), scheme)
