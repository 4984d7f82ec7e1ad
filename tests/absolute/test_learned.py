"""Learned positions are an embedding, and their hierarchical extension keeps every trained row."""

import pytest
import torch
from torch import nn

from longspan.absolute.learned import Learned, hierarchical
from longspan.errors import ShapeError


def test_it_is_an_embedding() -> None:
    learned = Learned(8, 4)
    wanted = nn.Embedding.from_pretrained(learned.table.detach())
    positions = torch.tensor([[0, 3], [7, 7]])
    assert torch.equal(learned(positions), wanted(positions))
    learned(positions).sum().backward()
    assert learned.table.grad is not None
    assert learned.table.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0, 0, 2]


@pytest.mark.parametrize("position", [-1, 8])
def test_positions_beyond_the_table_are_refused(position: int) -> None:
    with pytest.raises(ShapeError, match=f"end at 7, got {position}"):
        Learned(8, 4)(torch.tensor([0, position]))


def test_trained_rows_stay_to_the_bit() -> None:
    table = torch.randn(8, 4)
    assert torch.equal(hierarchical(table, torch.arange(8)), table)


@pytest.mark.parametrize("alpha", [0.4, 0.1, 0.7])
def test_extension_is_a_mixture_of_two_rows(alpha: float) -> None:
    """u is what the mixture at (0, t) makes of the table; the mixture at (q, t) is then written out row by row."""
    table = torch.randn(5, 3, dtype=torch.float64)
    u = [(row - alpha * table[0]) / (1 - alpha) for row in table]
    got = hierarchical(table, torch.arange(25), alpha)
    for q in range(5):
        for t in range(5):
            torch.testing.assert_close(got[5 * q + t], alpha * u[q] + (1 - alpha) * u[t], rtol=0, atol=1e-14)
    for t in range(5):
        torch.testing.assert_close(table[t], alpha * u[0] + (1 - alpha) * u[t], rtol=0, atol=1e-14)


def test_all_positions_differ() -> None:
    got = hierarchical(torch.randn(6, 8, dtype=torch.float64), torch.arange(36))
    assert (torch.pdist(got) > 1e-3).all()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_weights_that_confuse_positions_are_refused(alpha: float) -> None:
    with pytest.raises(ShapeError, match=r"alpha must lie between 0 and 1 and not be 0\.5"):
        hierarchical(torch.randn(4, 2), torch.tensor([5]), alpha)


def test_the_square_is_the_end() -> None:
    with pytest.raises(ShapeError, match="end at 15, got 16"):
        hierarchical(torch.randn(4, 2), torch.tensor([16]))
