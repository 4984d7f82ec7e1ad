"""Outside sources: the authors' formula by hand, and what the paper says of its shape (arXiv:2205.09921)."""

from math import log

import pytest
import torch

from longspan import attend
from longspan.bias.kerple_log import KerpleLog, bounded

DISTANCES = torch.arange(200)


def bias(p: float, a: float, relative: torch.Tensor = DISTANCES) -> torch.Tensor:
    numbers = {"p": torch.tensor([p], dtype=torch.float64), "a": torch.tensor([a], dtype=torch.float64)}
    return KerpleLog()(relative, torch.tensor(0), 1, numbers)


@pytest.mark.parametrize(("p", "a", "r"), [(2.0, 1.0, 3), (0.3, 0.7, 17), (1.5, 0.02, 1000)])
def test_formula_by_hand(p: float, a: float, r: int) -> None:
    assert bias(p, a, torch.tensor(r)).item() == pytest.approx(-p * log(1 + a * r), rel=1e-14)
    assert bias(p, a, torch.tensor(-r)) == bias(p, a, torch.tensor(r))


def test_is_nothing_at_distance_zero_and_falls_ever_more_slowly() -> None:
    falling = bias(1.3, 0.4)
    assert falling[0] == 0
    assert (falling.diff() < 0).all()
    assert (falling.diff().diff() > 0).all()


def test_starts_with_slope_p_a() -> None:
    step = torch.tensor(1e-6, dtype=torch.float64)
    assert (bias(1.3, 0.4, step) / step).item() == pytest.approx(-1.3 * 0.4, rel=1e-5)


def test_heads_keep_their_own_numbers() -> None:
    numbers = {"p": torch.tensor([1.0, 2.0]), "a": torch.tensor([0.5, 0.25])}
    both = KerpleLog()(DISTANCES, torch.arange(2)[:, None], 2, numbers)
    torch.testing.assert_close(both, torch.stack([bias(1.0, 0.5), bias(2.0, 0.25)]).float())


def test_numbers_below_the_bound_act_as_the_bound() -> None:
    """The authors' code clamps what is stored to at least 0.01."""
    torch.testing.assert_close(bias(-3.0, 0.0), bias(0.01, 0.01), rtol=1e-12, atol=0)


def test_a_head_below_the_bound_can_come_back() -> None:
    """Its gradient is what it would be at the bound, where the authors' code puts it: a plain clamp gives zero."""
    outside = {name: torch.tensor([-1.0], requires_grad=True) for name in ("p", "a")}
    bound = {name: torch.tensor([0.01], requires_grad=True) for name in ("p", "a")}
    for numbers in (outside, bound):
        KerpleLog()(DISTANCES, torch.tensor(0), 1, numbers).sum().backward()
    for name in ("p", "a"):
        assert outside[name].grad is not None
        assert outside[name].grad != 0
        torch.testing.assert_close(outside[name].grad, bound[name].grad)


def test_the_bound_moves_values_and_leaves_gradients() -> None:
    """With its sign: the authors' optimizer sees the gradient at the bound."""
    weight = torch.tensor([-1.0, 0.01, 0.5, 2.0, 9.0], requires_grad=True)
    kept = bounded(weight, 2.0)
    kept.backward(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert kept.tolist() == pytest.approx([0.01, 0.01, 0.5, 2.0, 2.0], rel=1e-6)
    assert weight.grad is not None
    assert weight.grad.tolist() == [1, 2, 3, 4, 5]


def test_inside_the_bounds_nothing_moves() -> None:
    weight = torch.rand(1000) + 0.01
    assert torch.equal(bounded(weight), weight)


def test_starts_as_the_authors_code_does() -> None:
    """p from U(0, 2) and a from U(0, 1), repeatable from a generator."""
    start = KerpleLog().initial_weights(10_000, 8, torch.Generator().manual_seed(1))
    again = KerpleLog().initial_weights(10_000, 8, torch.Generator().manual_seed(1))
    for name, highest in (("p", 2.0), ("a", 1.0)):
        assert torch.equal(start[name], again[name])
        assert 0 <= start[name].min() < 0.01 * highest
        assert 0.99 * highest < start[name].max() <= highest
        assert start[name].mean().item() == pytest.approx(highest / 2, rel=0.03)
    assert torch.corrcoef(torch.stack([start["p"], start["a"]]))[0, 1].abs() < 0.05


def test_far_keys_lose_weight_by_a_power_of_the_distance() -> None:
    """e^(−p ln(1 + a r)) = (1 + a r)^(−p): with equal content the weights are that power, normalized."""
    value = torch.eye(9, dtype=torch.float64)[None, None]
    nothing = torch.zeros_like(value)
    numbers = {"bias.p": torch.tensor([2.0]).double(), "bias.a": torch.tensor([0.5]).double()}
    last = attend(nothing, nothing, value, "kerple_log", weights=numbers)[0, 0, -1]
    power = (1 + 0.5 * torch.arange(8, -1, -1, dtype=torch.float64)) ** -2
    torch.testing.assert_close(last, power / power.sum())
