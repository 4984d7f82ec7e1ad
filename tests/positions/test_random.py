"""Randomized positions: ordered, distinct, uniform over the span, and the same for the same generator."""

import pytest
import torch

from longspan.errors import ShapeError
from longspan.positions.random import random


def test_a_span_of_the_text_is_contiguous() -> None:
    assert random(40, 40, rows=3).tolist() == 3 * [list(range(40))]


def test_strictly_increasing_within_the_span() -> None:
    drawn = random(40, 2048, rows=50)
    assert drawn.shape == (50, 40)
    assert (drawn.diff(dim=1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < 2048
    assert len(drawn.unique(dim=0)) == 50


def test_one_draw_is_shared_and_the_generator_decides() -> None:
    first = random(5, 100, generator=torch.Generator().manual_seed(3))
    again = random(5, 100, generator=torch.Generator().manual_seed(3))
    other = random(5, 100, generator=torch.Generator().manual_seed(4))
    assert first.shape == (1, 5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_order_statistics_are_those_of_a_uniform_sample() -> None:
    """The i-th of N out of 0 … S − 1 is at (i + 1)(S + 1)/(N + 1) − 1 on average."""
    mean = random(3, 20, rows=20000).double().mean(0)
    wanted = torch.tensor([1, 2, 3], dtype=torch.float64) * 21 / 4 - 1
    torch.testing.assert_close(mean, wanted, rtol=0, atol=0.1)


def test_a_short_span_is_refused() -> None:
    with pytest.raises(ShapeError, match="5 tokens need a span of at least 5, got 4"):
        random(5, 4)
