"""The lowering: tiles hold every existing pair exactly once, and no pair that does not exist."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawing import PER_METHOD, names, schemes
from longspan.compute.flash import halvings
from longspan.compute.lowering import Cut, Lowering, Span, Tile, lower, lowering
from longspan.notation import parse
from longspan.scheme import Scheme


def pairs(tile: Tile, rows: int, keys: int) -> torch.Tensor:
    """The tile drawn on the grid of queries and keys, read from its definition."""
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
    """The pairs of a branch in the segment low ≤ coordinate < high, straight from the parts' definitions."""
    query = torch.arange(span.queries)[:, None] + span.first_query
    key = torch.arange(span.keys)[None] + span.first_key
    place = query + span.shift
    holds = scheme.distance.branches()[branch].holds(place, key + span.shift)
    return scheme.mask(query, key, scheme.direction.causal) & holds & (place >= low) & (place < high)


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
    plan = lower(scheme, span, cut)
    segments = scheme.rotation.segments(span.first_query + queries + span.shift)
    for segment in segments:
        for branch in range(len(scheme.distance.branches())):
            drawn = torch.zeros(queries, keys, dtype=torch.int64)
            for tile in plan.tiles:
                view = plan.views[tile.view]
                if view.branch == branch and view.rotation == segment.rotation:
                    assert tile.pairs == pairs(tile, queries, keys).sum()
                    drawn += pairs(tile, queries, keys)
            wanted = existing(scheme, span, branch, segment.start, segment.stop)
            assert torch.equal(drawn, wanted.long())


def test_no_tile_is_empty_and_views_hold_their_tiles() -> None:
    """The flash kernel dies on an empty tensor."""
    for text in (
        "rope + window(1)",
        "rerope(1) + window(3, sinks=2)",
        "rope + blockwise(4, sinks=1)",
        "dual_chunk(8, 2)",
    ):
        for length in range(1, 40):
            plan = lowering(parse(text), length)
            for tile in plan.tiles:
                assert tile.rows > 0
                assert tile.keys > 0
                view = plan.views[tile.view]
                last = tile.step * (tile.count - 1)
                assert view.rows[0] <= tile.row
                assert tile.row + tile.rows + last <= view.rows[1]
                assert view.keys[0] <= tile.key
                assert tile.key + tile.keys + last <= view.keys[1]


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
    assert halvings(batch, heads, torch.device("cpu")) == wanted
    assert halvings(batch, heads, torch.device("cuda")) == 0


def test_prints_tiles() -> None:
    text = str(lowering(parse("rerope(1024)"), 4096))
    assert "3 tiles, 8,390,656 pairs" in text
    plain = lowering(parse("rope"), 4096)
    assert plain.flops(64) == 4 * 64 * 4096 * 4097 // 2
    assert plain.bytes(64, 2) == 2 * 4 * 4096 * 64
    assert "12 × band of 1024" in text
    assert isinstance(lowering(parse("rope"), 3), Lowering)
