"""The scan is the loop: states, gradients, second derivatives, and an exact reset where the decay is zero."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.compute.recurrence.scan import associative_scan
from longspan.errors import ShapeError


def looped(decay: torch.Tensor, values: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    states = []
    for a, b in zip(decay.unbind(1), values.unbind(1), strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states, 1)


@given(tokens=st.integers(1, 40), seed=st.integers(0, 2**31), kind=st.sampled_from([torch.float64, torch.complex128]))
def test_is_the_loop(tokens: int, seed: int, kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    decay, values = torch.randn(2, 2, tokens, 3, dtype=kind, generator=generator).div(2).unbind(0)
    decay = torch.where(torch.rand(decay.shape, generator=generator) < 0.1, 0, decay)
    state, direction = torch.randn(2, 2, tokens, 3, dtype=kind, generator=generator).unbind(0)
    leaves = [each.clone().requires_grad_() for each in (decay, values, state[:, 0])]
    found, wanted = associative_scan(*leaves), looped(*leaves)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)
    ways = [torch.autograd.grad((y * direction).sum().abs(), leaves) for y in (found, wanted)]
    for one, other in zip(*ways, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_real_decay_of_complex_values() -> None:
    decay = torch.rand(1, 9, 2, dtype=torch.float64, requires_grad=True)
    values = torch.randn(1, 9, 2, dtype=torch.complex128, requires_grad=True)
    start = torch.zeros(1, 2, dtype=torch.complex128)
    for real, imaginary in zip(
        torch.autograd.grad(associative_scan(decay, values).abs().sum(), (decay, values)),
        torch.autograd.grad(looped(decay, values, start).abs().sum(), (decay, values)),
        strict=True,
    ):
        torch.testing.assert_close(real, imaginary)


def test_has_derivatives_of_any_order() -> None:
    decay, values = torch.rand(2, 1, 6, 2, dtype=torch.float64).unbind(0)
    leaves = decay.requires_grad_(), values.requires_grad_()
    assert torch.autograd.gradcheck(associative_scan, leaves)
    assert torch.autograd.gradgradcheck(associative_scan, leaves)


def test_a_decay_of_zero_starts_anew() -> None:
    """To the bit: nothing of what came before is left, however large."""
    values = torch.randn(1, 12, 3)
    values[:, :7] *= 1e30
    decay = torch.rand(1, 12, 3)
    decay[:, 7] = 0.0
    assert (
        associative_scan(decay, values)[:, 7:] - looped(decay[:, 7:], values[:, 7:], torch.zeros(1, 3))
    ).abs().max() < 1e-5


def test_long_decays_do_not_overflow() -> None:
    """The sum of λ^{−k} u_k, scaled back, which is the short way to write a scan, is inf after a few hundred steps."""
    decay, values = torch.full((1, 5000, 1), 0.5), torch.ones(1, 5000, 1)
    torch.testing.assert_close(associative_scan(decay, values)[0, -1], torch.tensor([2.0]))


def test_the_depth_is_logarithmic(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch.addcmul
    monkeypatch.setattr(torch, "addcmul", lambda *given: calls.append(1) or real(*given))
    associative_scan(torch.rand(1, 4096, 1), torch.rand(1, 4096, 1))
    assert len(calls) <= 2 * 12


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="must broadcast"):
        associative_scan(torch.ones(1, 3, 2), torch.ones(1, 4, 2))
    with pytest.raises(ShapeError, match=r"takes \(batch, tokens"):
        associative_scan(torch.ones(3), torch.ones(3))
