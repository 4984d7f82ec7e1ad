"""Outside source: the article's objective (kexue.fm/archives/9812), maximized by SciPy."""

from math import log

import pytest
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, ive

from longspan import Geometry, parse
from longspan.errors import SchemeError
from longspan.scale.max_gradient import MaxGradient


def log_mean_exponential(scale: float, head_dim: int) -> float:
    """ln E exp(scale · s) for the cosine s of two random directions: a Bessel function."""
    order = head_dim / 2 - 1
    return gammaln(head_dim / 2) + order * log(2 / scale) + log(ive(order, scale)) + scale


def best(keys: int, head_dim: int) -> float:
    """The scale a with the largest a · (1 − Σ p²), where Σ p² is about E e^{2as} / (n (E e^{as})²)."""

    def loss(scale: float) -> float:
        squares = log_mean_exponential(2 * scale, head_dim) - 2 * log_mean_exponential(scale, head_dim)
        return -scale * (1 - 2.718281828459045**squares / keys)

    return minimize_scalar(loss, bounds=(1, 100), method="bounded").x


@pytest.mark.parametrize(("multiplier", "length"), [(4.0, 256), (3.5, 4096), (3.5, 8192), (3.5, 16384)])
def test_is_the_scale_with_the_largest_gradient_at_head_dim_128(multiplier: float, length: int) -> None:
    """The article fits a straight line in ln n; within 3 % from a few hundred keys to twenty thousand."""
    assert MaxGradient(multiplier, length)(1.0, {}) == pytest.approx(best(length, 128), rel=0.03)


def test_four_is_right_for_the_256_keys_of_the_second_article() -> None:
    """22.18 against 22.29; 3.5 would give 19.4."""
    assert MaxGradient()(1.0, {}) == pytest.approx(4 * log(256), rel=1e-15)
    assert MaxGradient()(1.0, {}) == pytest.approx(best(256, 128), rel=0.01)


def test_half_of_the_trained_length_where_left_open() -> None:
    geometry = Geometry(4, 4, 8, trained_length=4096)
    assert MaxGradient(3.5).fill(geometry, 16384) == MaxGradient(3.5, 2048)
    assert MaxGradient(3.5, 100).fill(geometry, 16384) == MaxGradient(3.5, 100)


def test_takes_the_place_of_a_models_own_number() -> None:
    scale = parse("rope + max_gradient(2, 8)").scale
    assert scale(0.125, {}) == scale(5.0, {}) == pytest.approx(6 * log(2), rel=1e-15)


def test_refusals() -> None:
    with pytest.raises(SchemeError, match="max_gradient: multiplier must be above 0, got 0"):
        MaxGradient(0)
    with pytest.raises(SchemeError, match="max_gradient: length must be at least 2, got 1"):
        MaxGradient(length=1)
