"""What every normalizer keeps: absent keys weigh nothing, empty rows are zeros, gradients are right at any size."""

from math import inf

import pytest
import torch
from torch import Tensor

from contract.drawing import PARTS, default, names
from longspan.slots import Normalizer, Weights

HEADS = 2
NAMES = names("normalizer")


def made(name: str) -> tuple[Normalizer, Weights]:
    """A normalizer with its learned numbers off their start."""
    part = default(name)
    assert isinstance(part, Normalizer)
    return part, {key: value.double() + 0.3 for key, value in part.initial_weights(HEADS, 8).items()}


def scores_with_gaps(size: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows with all keys, with some, with one and with none."""
    scores = (size * torch.randn(1, HEADS, 4, 6, dtype=torch.float64)).to(dtype)
    scores[:, :, 1, ::2] = -inf
    scores[:, :, 2, 1:] = -inf
    scores[:, :, 3] = -inf
    return scores


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-5, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_absent_keys_weigh_nothing_and_nothing_overflows(name: str, size: float, dtype: torch.dtype) -> None:
    part, learned = made(name)
    scores = scores_with_gaps(size, dtype).requires_grad_()
    weights = part(scores, learned)
    (weights * torch.rand_like(weights)).sum().backward()
    assert weights.dtype == dtype
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    assert (weights[scores == -inf] == 0).all()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[scores == -inf] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_absent_keys_change_no_other_weight(name: str) -> None:
    part, learned = made(name)
    scores = scores_with_gaps()
    alone = part(scores[:, :, 1:2, 1::2], learned)
    torch.testing.assert_close(part(scores, learned)[:, :, 1:2, 1::2], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_gradient_is_that_of_finite_differences(name: str, size: float) -> None:
    part, learned = made(name)
    scores = scores_with_gaps(size)
    absent = scores == -inf
    numbers = [value.requires_grad_() for value in learned.values()]

    def weights(finite: Tensor, *values: Tensor) -> Tensor:
        return part(finite.masked_fill(absent, -inf), dict(zip(learned, values, strict=True)))

    finite = scores.masked_fill(absent, 0.0).requires_grad_()
    assert torch.autograd.gradcheck(weights, (finite, *numbers))


@pytest.mark.parametrize("name", NAMES)
def test_rows_sum_to_one_where_that_is_claimed_and_only_there(name: str) -> None:
    part, learned = made(name)
    sums = part(scores_with_gaps(), learned)[:, :, :3].sum(-1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-12) == part.rows_sum_to_one


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_score_never_weighs_less(name: str) -> None:
    part, learned = made(name)
    scores = torch.randn(1, HEADS, 50, 20, dtype=torch.float64).sort(-1).values
    assert (part(scores, learned).diff(dim=-1) >= -1e-15).all()


def test_all_normalizers_are_here() -> None:
    """Guards the tests above: an empty list of cases proves nothing."""
    assert {PARTS[name].__name__ for name in NAMES} >= {"Softmax", "Sparsemax", "Entmax", "L2"}
