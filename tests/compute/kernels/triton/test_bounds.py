"""Which blocks meet: no pair is left out, and what is called whole is whole, against all pairs written out."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from longspan.compute.kernels.triton.bounds import key_bounds, row_bounds


@st.composite
def intervals(draw: st.DrawFn) -> tuple[Tensor, int]:
    """What the rows of some documents see: neither end of an interval falls, and some rows see nothing."""
    rows, start, low, high = [], 0, 0, 0
    for size in draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)):
        low = high = start
        for _ in range(draw(st.integers(0, 12))):
            low = min(max(low, start + draw(st.integers(0, 12))), start + size)
            high = min(max(high, low + draw(st.integers(0, 12))), start + size)
            rows.append((low, high))
        start += size
    return torch.tensor(rows or [(0, start)], dtype=torch.int32)[None, None], start


@given(intervals(), st.sampled_from([1, 3, 4]), st.sampled_from([2, 4]))
def test_blocks_of_rows_meet_what_they_see(drawn: tuple[Tensor, int], size: int, keys: int) -> None:
    seen, count = drawn
    exist = pairs(seen, count)
    for block, (first, whole, rest, last) in enumerate(row_bounds(seen, size, keys)[0, 0].tolist()):
        rows = exist[block * size : (block + 1) * size]
        assert first <= whole <= rest <= last
        assert not rows[:, : first * keys].any()
        assert not rows[:, last * keys :].any()
        assert rows[:, whole * keys : rest * keys].all()
        assert rest == whole or rest * keys <= count


@given(intervals(), st.sampled_from([1, 3, 4]))
def test_blocks_of_keys_meet_who_sees_them(drawn: tuple[Tensor, int], size: int) -> None:
    seen, count = drawn
    exist = pairs(seen, count)
    for block, (first, whole, rest, last) in enumerate(key_bounds(seen, size, count)[0, 0].tolist()):
        keys = exist[:, block * size : (block + 1) * size]
        assert first <= whole <= rest <= last
        assert not keys[:first].any()
        assert not keys[last:].any()
        assert keys[whole:rest].all()
        assert rest == whole or (block + 1) * size <= count


def pairs(seen: Tensor, count: int) -> Tensor:
    """Which pairs exist, (rows, keys)."""
    key = torch.arange(count)
    return (key >= seen[0, 0, :, :1]) & (key < seen[0, 0, :, 1:])


def test_a_causal_document_is_mostly_whole() -> None:
    """Guards the tests above: bounds that call nothing whole would pass them."""
    order = torch.arange(64, dtype=torch.int32)
    seen = torch.stack([torch.zeros_like(order), order + 1], -1)[None, None]
    assert row_bounds(seen, 16, 8)[0, 0].tolist() == [[0, 2, 2, 2], [0, 0, 2, 4], [0, 0, 4, 6], [0, 0, 6, 8]]
    assert key_bounds(seen, 16, 64)[0, 0].tolist() == [
        [0, 15, 64, 64],
        [16, 31, 64, 64],
        [32, 47, 64, 64],
        [48, 63, 64, 64],
    ]
