"""Losses against what they are defined by."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from longspan.train.losses.cross_entropy import CrossEntropy
from longspan.train.losses.emo import EMO, distance
from longspan.train.losses.margin import Margin


def drawn(seed: int, vocabulary: int, tokens: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(tokens, vocabulary, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, vocabulary, (tokens,), generator=generator)
    return logits, targets, torch.randn(vocabulary, 5, generator=generator)


@given(seed=st.integers(0, 1000), vocabulary=st.integers(2, 8))
def test_emo_is_the_optimum_of_the_transport_problem(seed: int, vocabulary: int) -> None:
    """min Σ_ij T_ij c_ij over plans T ≥ 0 whose rows sum to p and whose columns sum to the one-hot target."""
    logits, targets, head = drawn(seed, vocabulary)
    unit = head.double() / head.double().norm(dim=1, keepdim=True)
    cost = (1 - unit @ unit.T).numpy()
    for row, target, found in zip(logits.softmax(-1), targets, distance(logits.float(), targets, head), strict=True):
        rows = np.kron(np.eye(vocabulary), np.ones(vocabulary))
        columns = np.kron(np.ones(vocabulary), np.eye(vocabulary))
        sums = np.concatenate([row.numpy(), np.eye(vocabulary)[target]])
        optimum = linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=sums)
        assert optimum.success
        assert float(found) == pytest.approx(optimum.fun, abs=1e-5)


@given(seed=st.integers(0, 1000))
def test_the_gradient_of_emo_is_p_times_the_cost_above_its_mean(seed: int) -> None:
    logits, targets, head = drawn(seed, 6)
    logits = logits.float().requires_grad_()
    distance(logits, targets, head).sum().backward()
    unit = torch.nn.functional.normalize(head, dim=-1)
    p, cost = logits.detach().softmax(-1), 1 - (unit @ unit.T)[targets]
    assert torch.allclose(logits.grad, p * (cost - (p * cost).sum(-1, keepdim=True)), atol=1e-5)  # type: ignore[arg-type]


def test_a_perfect_prediction_costs_nothing() -> None:
    head = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    logits = torch.full((1, 5), -1e4).index_fill(1, torch.tensor([2]), 0.0)
    assert float(EMO()(logits, torch.tensor([2]), head)) == pytest.approx(0.0, abs=1e-6)


def test_emo_has_the_size_of_cross_entropy() -> None:
    logits, targets, head = drawn(0, 6)
    both = EMO()(logits.float(), targets, head), CrossEntropy()(logits.float(), targets, head)
    assert torch.allclose(*both, rtol=1e-5)


def test_cross_entropy_is_the_logarithm_of_the_share_of_the_target() -> None:
    logits, targets, head = drawn(1, 6)
    wanted = -(logits.exp() / logits.exp().sum(-1, keepdim=True)).log()[torch.arange(3), targets]
    assert torch.allclose(CrossEntropy()(logits, targets, head), wanted)


@given(seed=st.integers(0, 1000), margin=st.floats(0, 5))
def test_margin_raises_the_odds_against_the_right_token(seed: int, margin: float) -> None:
    """The odds (1 − p) / p grow by e^m; without a margin it is cross entropy."""
    logits, targets, head = drawn(seed, 6)
    right = logits.softmax(-1)[torch.arange(3), targets]
    wanted = torch.log1p(np.exp(margin) * (1 - right) / right)
    torch.testing.assert_close(Margin(margin)(logits, targets, head), wanted, rtol=1e-9, atol=1e-12)
    none = Margin(0.0)(logits, targets, head)
    torch.testing.assert_close(none, CrossEntropy()(logits, targets, head), rtol=1e-12, atol=1e-12)
