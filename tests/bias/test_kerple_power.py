"""Outside sources: the authors' formula by hand, and ALiBi, which is the power one (arXiv:2205.09921)."""

import pytest
import torch

from longspan import attend
from longspan.bias.alibi import slopes
from longspan.bias.kerple_power import KerplePower

DISTANCES = torch.arange(200)


def bias(p: float, a: float, relative: torch.Tensor = DISTANCES) -> torch.Tensor:
    numbers = {"p": torch.tensor([p], dtype=torch.float64), "a": torch.tensor([a], dtype=torch.float64)}
    return KerplePower()(relative, torch.tensor(0), 1, numbers)


@pytest.mark.parametrize(("p", "a", "r", "wanted"), [(2, 0.5, 4, -8), (0.5, 1, 9, -3), (1.5, 0.1, 100, -100)])
def test_formula_by_hand(p: float, a: float, r: int, wanted: float) -> None:
    assert bias(p, a, torch.tensor(r)).item() == pytest.approx(wanted, rel=1e-14)
    assert bias(p, a, torch.tensor(-r)) == bias(p, a, torch.tensor(r))


def test_power_one_is_alibi_with_slope_a() -> None:
    query, key, value = torch.randn(3, 2, 8, 20, 8, dtype=torch.float64)
    numbers = {"bias.p": torch.ones(8).double(), "bias.a": slopes(8).clamp(min=0.01)}
    powers = attend(query, key, value, "kerple_power", weights=numbers)
    # The last two of ALiBi's slopes lie below KERPLE's bound of 0.01.
    torch.testing.assert_close(powers[:, :6], attend(query, key, value, "alibi")[:, :6])


@pytest.mark.parametrize(("outside", "bound"), [((3.5, 0.2), (2.0, 0.2)), ((-1.0, -1.0), (0.01, 0.01))])
def test_numbers_beyond_the_bounds_act_as_the_bounds(outside: tuple, bound: tuple) -> None:
    """The authors' code clamps p to [0.01, 2] and a to at least 0.01."""
    torch.testing.assert_close(bias(*outside), bias(*bound), rtol=1e-12, atol=0)


def test_a_head_beyond_the_bounds_can_come_back() -> None:
    numbers = {"p": torch.tensor([2.5], requires_grad=True), "a": torch.tensor([-1.0], requires_grad=True)}
    KerplePower()(DISTANCES, torch.tensor(0), 1, numbers).sum().backward()
    for number in numbers.values():
        assert number.grad is not None
        assert number.grad.isfinite()
        assert number.grad != 0


def test_gradient_is_finite_at_distance_zero() -> None:
    """0^p: its derivative in p holds 0 · ln 0."""
    numbers = {name: torch.tensor([0.5], requires_grad=True) for name in ("p", "a")}
    KerplePower()(torch.tensor(0), torch.tensor(0), 1, numbers).backward()
    assert all(number.grad == 0 for number in numbers.values())


def test_starts_as_the_authors_code_does() -> None:
    """p from U(0, 2) and a from U(0, 1)."""
    start = KerplePower().initial_weights(10_000, 8, torch.Generator().manual_seed(1))
    assert start["p"].mean().item() == pytest.approx(1.0, rel=0.03)
    assert 1.98 < start["p"].max() <= 2
    assert start["a"].mean().item() == pytest.approx(0.5, rel=0.03)
    assert 0.99 < start["a"].max() <= 1
