"""Outside sources: SciPy's quadratic minimizer, and the values in the readme of `entmax`."""

import numpy as np
import torch
from scipy.optimize import minimize

from longspan.normalizer.entmax import Entmax
from longspan.normalizer.sparsemax import Sparsemax


def test_is_the_nearest_point_of_the_simplex() -> None:
    scores = torch.randn(1, 1, 20, 5, dtype=torch.float64)
    scores[..., 10:, 3] = -torch.inf
    for row, ours in zip(scores[0, 0], Sparsemax()(scores, {})[0, 0], strict=True):
        present = row.isfinite()
        point = row[present].numpy()
        nearest = minimize(
            lambda p, point=point: ((p - point) ** 2).sum(),
            np.full(len(point), 1 / len(point)),
            bounds=[(0, 1)] * len(point),
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14},
        )
        torch.testing.assert_close(ours[present], torch.from_numpy(nearest.x), rtol=0, atol=1e-6)


def test_known_values() -> None:
    scores = torch.tensor([[[[-2.0, 0.0, 0.5], [2.0, 0.0, -1.0], [1.0, 1.0, -9.0]]]])
    wanted = torch.tensor([[[[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]]])
    torch.testing.assert_close(Sparsemax()(scores, {}), wanted, rtol=0, atol=0)


def test_is_entmax_at_two() -> None:
    """Sorting and bisection: two derivations."""
    scores = 2 * torch.randn(2, 3, 4, 50, dtype=torch.float64)
    torch.testing.assert_close(Entmax(alpha=2)(scores, {}), Sparsemax()(scores, {}), rtol=0, atol=1e-12)


def test_a_constant_on_all_scores_changes_nothing() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(Sparsemax()(scores + 7, {}), Sparsemax()(scores, {}))
