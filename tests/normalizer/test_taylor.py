"""Outside sources: numpy's polynomials, the exponential that it tends to, a kernel's features."""

from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import SchemeError
from longspan.normalizer.taylor import Taylor, lowest


@pytest.mark.parametrize("degree", [2, 4, 6])
def test_is_the_polynomial(degree: int) -> None:
    scores = 3 * torch.randn(1, 1, 20, 9, dtype=torch.float64)
    values = np.polynomial.Polynomial([1 / factorial(m) for m in range(degree + 1)])(scores.numpy())
    wanted = torch.from_numpy(values / values.sum(-1, keepdims=True))
    torch.testing.assert_close(Taylor(degree, floor=False)(scores, {}), wanted, rtol=1e-12, atol=0)


@given(st.sampled_from([2, 4, 6, 8]))
def test_nothing_is_below_the_lowest_value(degree: int) -> None:
    polynomial = np.polynomial.Polynomial([1 / factorial(m) for m in range(degree + 1)])
    grid = np.linspace(-30, 30, 100_001)
    assert grid[np.argmin(polynomial(grid))] == pytest.approx(lowest(degree), abs=1e-3)
    assert polynomial(lowest(degree)) > 0
    below = torch.tensor([[[[lowest(degree) - 5.0, lowest(degree), 1.0]]]], dtype=torch.float64)
    assert float(Taylor(degree)(below, {})[..., 0]) == pytest.approx(float(Taylor(degree)(below, {})[..., 1]))
    assert float(Taylor(degree, floor=False)(below, {})[..., 0]) > float(Taylor(degree)(below, {})[..., 0])


def test_tends_to_softmax() -> None:
    scores = torch.randn(2, 3, 4, 9, dtype=torch.float64)
    torch.testing.assert_close(Taylor(16)(scores, {}), scores.softmax(-1), rtol=1e-3, atol=0)


def test_two_is_a_kernel_of_finitely_many_features() -> None:
    """1 + x + x²/2 of a product is a product of (1, q, q⊗q/√2), as in Based."""
    query, key = torch.randn(2, 7, 5, dtype=torch.float64)

    def features(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.ones_like(x[:, :1]), x, (x[:, :, None] * x[:, None]).flatten(1) / 2**0.5], 1)

    products = features(query) @ features(key).T
    found = Taylor(floor=False)((query @ key.T)[None, None], {})[0, 0]
    torch.testing.assert_close(found, products / products.sum(-1, keepdim=True), rtol=1e-12, atol=0)


@pytest.mark.parametrize("degree", [0, 3, -2, 18])
def test_an_odd_degree_is_negative_somewhere(degree: int) -> None:
    """At x = −4 the third is −5.67, as the article says."""
    with pytest.raises(SchemeError, match="even and 2 to 16"):
        Taylor(degree)
    assert sum((-4.0) ** m / factorial(m) for m in range(4)) == pytest.approx(-5.67, abs=5e-3)
