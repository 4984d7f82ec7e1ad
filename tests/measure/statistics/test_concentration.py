"""Closed forms against Monte Carlo and SciPy, and against the numbers that the article prints."""

from math import inf, pi, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from longspan.measure.statistics.concentration import (
    concentration,
    of_decay,
    of_exponentials,
    of_features,
    of_products,
    of_squared_relu,
)

DRAWS = 2_000_000


def drawn(mean: float, deviation: float) -> torch.Tensor:
    return mean + deviation * torch.randn(DRAWS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def moment(power: int, mean: float, deviation: float) -> float:
    """E max(0, x)^power, integrated by SciPy."""
    return quad(lambda x: x**power * norm.pdf(x, mean, deviation), 0, inf, epsabs=1e-14)[0]


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("beta", [-2.0, 0.0, 3.0])
def test_exponentials(gamma: float, beta: float) -> None:
    assert float(concentration(drawn(beta, gamma).exp())) == pytest.approx(of_exponentials(gamma), rel=0.01)


@pytest.mark.parametrize(("ratio", "printed"), [(-3, 0.017), (-2, 0.072), (0, 0.408), (1, 0.613), (5, 0.932)])
def test_squared_relu(ratio: float, printed: float) -> None:
    assert of_squared_relu(ratio) == pytest.approx(printed, abs=6e-4)
    assert of_squared_relu(ratio) == pytest.approx(moment(2, ratio, 1) / sqrt(moment(4, ratio, 1)), rel=1e-7)
    if ratio >= 0:
        assert float(concentration(drawn(2.0 * ratio, 2.0).relu().square())) == pytest.approx(printed, rel=0.01)


@given(st.floats(-6, 6))
def test_products_never_concentrate(ratio: float) -> None:
    mean = moment(1, ratio, 1) + moment(1, -ratio, 1)
    assert of_products(ratio) == pytest.approx(mean / sqrt(1 + ratio**2), rel=1e-6)
    assert of_products(ratio) >= sqrt(2 / pi) - 1e-12


@pytest.mark.parametrize("sharp", [True, False])
def test_features(sharp: bool) -> None:
    """Exponential features have a deviation that is their mean."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.empty(500_000, 4, dtype=torch.float64).exponential_(generator=generator)
    query = torch.tensor([1.0, 0, 0, 0] if sharp else [1.0, 1, 1, 1], dtype=torch.float64)
    ratio = float(query.norm() / query.sum())
    assert float(concentration(keys @ query)) == pytest.approx(of_features(1.0, ratio), rel=0.01)
    assert of_features(1.0, ratio) >= of_features(1.0, 1.0)


@given(st.floats(0.05, 0.99), st.integers(1, 400))
def test_decay(decay: float, keys: int) -> None:
    weights = decay ** torch.arange(keys, dtype=torch.float64)
    assert float(concentration(weights)) == pytest.approx(of_decay(decay, keys), rel=1e-9)


@given(st.integers(1, 50), st.floats(1e-6, 1e6))
def test_both_ends_and_no_scale(keys: int, size: float) -> None:
    constant, one = torch.full((2, keys), size, dtype=torch.float64), torch.zeros(keys, dtype=torch.float64)
    one[keys // 2] = -size
    assert concentration(constant).tolist() == pytest.approx([1.0, 1.0])
    assert float(concentration(one)) == pytest.approx(keys**-0.5)
