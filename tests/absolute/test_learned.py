"""Learned positions are an embedding, and their hierarchical extension keeps every trained row."""

import pytest
import torch
from torch import nn

from longspan.absolute.learned import Learned, hierarchical
from longspan.errors import SchemeError, ShapeError

LEARNED = Learned(length=8, spread=0.02)


def test_it_is_an_embedding() -> None:
    table = nn.Parameter(LEARNED.initial_weights(4)["table"])
    wanted = nn.Embedding.from_pretrained(table.detach())
    positions = torch.tensor([[0, 3], [7, 7]])
    found = LEARNED.vectors(positions, 4, {"table": table}, training=True)
    assert torch.equal(found, wanted(positions))
    found.sum().backward()
    assert table.grad is not None
    assert table.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0, 0, 2]


def test_rows_start_as_large_as_asked() -> None:
    table = Learned(length=200, spread=0.3).initial_weights(50, torch.Generator().manual_seed(0))["table"]
    assert float(table.std()) == pytest.approx(0.3, rel=0.02)
    assert float(table.mean()) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("position", [-1, 8])
def test_in_training_positions_beyond_the_table_are_refused(position: int) -> None:
    weights = LEARNED.initial_weights(4)
    with pytest.raises(ShapeError, match=f"end at 7, got {position}; give the table more rows"):
        LEARNED.vectors(torch.tensor([0, position]), 4, weights, training=True)


def test_afterwards_positions_beyond_the_table_are_read_hierarchically() -> None:
    weights, positions = LEARNED.initial_weights(4), torch.arange(64)
    found = Learned(length=8, alpha=0.3).vectors(positions, 4, weights)
    assert torch.equal(found, hierarchical(weights["table"], positions, 0.3))


def test_fractions_are_refused() -> None:
    with pytest.raises(ShapeError, match="these are fractions: use sinusoidal"):
        LEARNED.vectors(torch.tensor([0.5]), 4, LEARNED.initial_weights(4))


@pytest.mark.parametrize("wrong", [{"length": 0}, {"alpha": 0.5}, {"alpha": 1.0}, {"spread": 0.0}])
def test_numbers_without_a_meaning_are_refused(wrong: dict) -> None:
    with pytest.raises(SchemeError, match=f"learned: {next(iter(wrong))} must be"):
        Learned(**wrong)


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
