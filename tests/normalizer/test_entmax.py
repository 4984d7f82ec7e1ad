"""Outside sources: the definition solved by SciPy's root finder, the values in the readme of `entmax`, its two ends."""

import numpy as np
import pytest
import torch
from entmax import entmax15, entmax_bisect
from scipy.optimize import root_scalar

from longspan.errors import SchemeError
from longspan.normalizer.entmax import Entmax


@pytest.mark.parametrize("alpha", [1.1, 1.5, 1.7, 2.0])
def test_solves_its_definition(alpha: float) -> None:
    scores = 2 * torch.randn(1, 1, 20, 9, dtype=torch.float64)
    scores[..., 10:, 3] = -torch.inf
    for row, ours in zip(scores[0, 0].numpy(), Entmax(alpha)(scores, {})[0, 0], strict=True):
        z = (alpha - 1) * row

        def weights(tau: float, z: np.ndarray = z) -> np.ndarray:
            return np.maximum(z - tau, 0) ** (1 / (alpha - 1))

        bracket = (z.max() - 1, z.max())
        tau = root_scalar(lambda tau, weights=weights: weights(tau).sum() - 1, bracket=bracket, xtol=1e-15).root
        torch.testing.assert_close(ours, torch.from_numpy(weights(tau)), rtol=0, atol=1e-10)


def test_known_values() -> None:
    scores = torch.tensor([[[[-2.0, 0.0, 0.5]]]])
    wanted = torch.tensor([[[[0.0, 0.3260, 0.6740]]]])
    torch.testing.assert_close(Entmax()(scores, {}), wanted, rtol=0, atol=5e-5)


def test_one_and_a_half_is_solved_exactly_and_other_values_by_bisection() -> None:
    scores = torch.randn(2, 3, 40, 50)
    assert torch.equal(Entmax()(scores, {}), entmax15(scores))
    assert torch.equal(Entmax(1.3)(scores, {}), entmax_bisect(scores, 1.3))
    assert not torch.equal(entmax15(scores), entmax_bisect(scores, 1.5))


def test_ties_share() -> None:
    """x = [2, 0] reaches the corner exactly, where strict inequalities find no threshold."""
    scores = torch.tensor([[[[2.0, 0.0], [1.0, 1.0]]]])
    torch.testing.assert_close(Entmax()(scores, {}), torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]]))


def test_tends_to_softmax() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(Entmax(1.0001)(scores, {}), scores.softmax(-1), rtol=0, atol=3e-4)


def test_a_constant_on_all_scores_changes_nothing() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(Entmax()(scores + 7, {}), Entmax()(scores, {}))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_refuses_what_lies_outside_the_family(alpha: float) -> None:
    with pytest.raises(SchemeError, match="above 1 and at most 2"):
        Entmax(alpha)
