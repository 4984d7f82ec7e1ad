"""The grid of the paper's test setting: 500 tokens over a span of 2048."""

import pytest

from longspan.errors import ShapeError
from longspan.positions.grid import grid


def test_five_hundred_of_2048() -> None:
    steps = grid(500, 2048).diff()
    assert set(steps.unique().tolist()) == {4, 5}
    assert grid(500, 2048)[0, [0, -1]].tolist() == [0, 2047]


def test_ends_and_refusal() -> None:
    assert grid(7, 7).tolist() == [list(range(7))]
    assert grid(1, 7).tolist() == [[0]]
    assert grid(4, 12).tolist() == [[0, 4, 7, 11]]
    with pytest.raises(ShapeError, match="8 tokens need a span of at least 8, got 7"):
        grid(8, 7)
