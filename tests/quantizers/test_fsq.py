"""The numbers of the paper, and every code of a small product of levels."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import ShapeError
from longspan.quantizers.fsq import FSQ

levels = st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple)


@given(levels)
def test_numbers_and_codes_are_one_to_one(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    every = torch.arange(fsq.codes)
    codes = fsq.code(every, torch.float64)
    assert fsq.codes == prod(levels) == len(torch.unique(codes, dim=0))
    assert torch.equal(fsq.index(codes), every)


@given(levels)
def test_a_code_is_quantized_to_itself(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    codes = fsq.code(torch.arange(fsq.codes), torch.float64)
    torch.testing.assert_close(fsq.quantize(fsq.inverse(codes)), codes, rtol=0, atol=1e-12)


@given(levels, st.integers(0, 1000))
def test_every_vector_has_a_code_of_the_list(levels: tuple[int, ...], seed: int) -> None:
    fsq, generator = FSQ(levels), torch.Generator().manual_seed(seed)
    z = 5 * torch.randn(200, len(levels), generator=generator, dtype=torch.float64)
    found = fsq.quantize(z)
    torch.testing.assert_close(fsq.code(fsq.index(found), torch.float64), found, rtol=0, atol=1e-12)
    assert found.min() >= -1 - 1e-12
    assert found.max() <= 1 + 1e-12


@pytest.mark.parametrize(
    ("levels", "codes"),
    [
        ((8, 6, 5), 240),
        ((8, 5, 5, 5), 1000), ((7, 5, 5, 5, 5), 4375), ((8, 8, 8, 6, 5), 15360), ((8, 8, 8, 5, 5, 5), 64000),
    ],
)  # fmt: skip
def test_the_papers_table(levels: tuple[int, ...], codes: int) -> None:
    assert FSQ(levels).codes == codes


def test_the_default_is_the_papers_for_about_a_thousand_codes() -> None:
    assert FSQ() == FSQ((8, 5, 5, 5))


@pytest.mark.parametrize("shape", [(), (30,), (5, 6), (2, 3, 5)])
def test_batches_of_any_shape_are_their_vectors(shape: tuple[int, ...]) -> None:
    fsq, z = FSQ((8, 5, 3)), torch.randn(*shape, 3, dtype=torch.float64)
    alone = torch.stack([fsq.index(fsq.quantize(vector)) for vector in z.reshape(-1, 3)]).reshape(shape)
    found = fsq.index(fsq.quantize(z))
    assert torch.equal(found, alone)
    assert torch.equal(fsq.code(found, torch.float64), fsq.quantize(z))


def test_even_levels_are_not_symmetric() -> None:
    eight = FSQ((8,)).code(torch.arange(8))
    assert (float(eight.min()), float(eight.max())) == (-1.0, 0.75)
    five = FSQ((5,)).code(torch.arange(5))
    assert five[:, 0].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert float(FSQ((8,)).quantize(torch.zeros(1, 1))) == 0.0


def test_the_gradient_is_that_of_the_bound() -> None:
    fsq = FSQ((8, 5))
    z = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    (through,) = torch.autograd.grad(fsq.quantize(z).sum(), z)
    (bound,) = torch.autograd.grad((fsq.bound(z) / torch.tensor([4.0, 2.0])).sum(), z)
    torch.testing.assert_close(through, bound, rtol=1e-12, atol=0)
    half = 7 * (1 - 1e-3) / 2
    by_hand = half * (1 - torch.tanh(z[:, 0] + torch.tan(torch.tensor(0.5 / half, dtype=torch.float64))) ** 2) / 4
    torch.testing.assert_close(through[:, 0], by_hand, rtol=1e-9, atol=0)


def test_half_precision_keeps_the_levels() -> None:
    z = torch.randn(100, 3)
    wanted = FSQ((8, 8, 8)).index(FSQ((8, 8, 8)).quantize(z.bfloat16().float()))
    assert torch.equal(FSQ((8, 8, 8)).index(FSQ((8, 8, 8)).quantize(z.bfloat16()).float()), wanted)


@pytest.mark.parametrize("levels", [(), (1,), (8, 0)])
def test_one_level_is_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="at least 2 levels"):
        FSQ(levels)
