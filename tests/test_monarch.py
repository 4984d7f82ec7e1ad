"""Outside sources: permutations and block matrices of NumPy and SciPy, the discrete Fourier transform."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag, dft

from longspan.errors import ShapeError
from longspan.monarch import Monarch, MonarchLinear


def drawn(blocks: int, inputs: int, outputs: int, seed: int = 0, rank: int = 1) -> Monarch:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(blocks, blocks, rank, inputs, generator=generator, dtype=torch.float64)
    return Monarch(first, torch.randn(blocks, outputs, blocks, rank, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_is_p_l_p_r(size: int) -> None:
    """The definition: block-diagonal factors with the permutation i·m + j → j·m + i."""
    monarch = drawn(size, size, size)
    permutation = torch.zeros(size**2, size**2, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            permutation[j * size + i, i * size + j] = 1
    left, right = (torch.from_numpy(block_diag(*x.numpy())) for x in (monarch.second[..., 0], monarch.first[:, :, 0]))
    torch.testing.assert_close(monarch.dense(), permutation @ left @ permutation @ right)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_the_product_is_that_of_the_matrix(blocks: int, inputs: int, outputs: int, rank: int) -> None:
    monarch = drawn(blocks, inputs, outputs, rank=rank)
    x = torch.randn(2, 3, blocks * inputs, dtype=torch.float64)
    torch.testing.assert_close(monarch @ x, x @ monarch.dense().T, rtol=1e-10, atol=1e-12)


@given(st.integers(1, 4), st.integers(2, 5), st.integers(2, 5), st.integers(0, 100), st.integers(1, 2))
def test_a_monarch_matrix_is_nearest_to_itself(blocks: int, inputs: int, outputs: int, seed: int, rank: int) -> None:
    matrix = drawn(blocks, inputs, outputs, seed, rank).dense()
    torch.testing.assert_close(Monarch.nearest(matrix, blocks, rank).dense(), matrix, rtol=1e-10, atol=1e-10)


def test_two_factors_of_square_blocks() -> None:
    """The authors' two block-diagonal factors, whose numbers change places between them, have a rank above one."""
    layer = MonarchLinear(32, 32, blocks=2, bias=False)
    assert sum(p.numel() for p in layer.parameters()) == 2 * 32**2 // 2
    first, second = torch.randn(2, 2, 16, 16, dtype=torch.float64).unbind()
    x = torch.randn(3, 32, dtype=torch.float64)
    middle = torch.einsum("kql,bkl->bkq", first, x.view(3, 2, 16)).reshape(3, 16, 2)  # number r·2 + j goes to block j
    wanted = torch.einsum("jir,brj->bij", second, middle).flatten(1)
    ours = Monarch(
        first.view(2, 8, 2, 16).transpose(1, 2).contiguous(), second.view(2, 16, 2, 8).contiguous()
    )  # fmt: skip
    torch.testing.assert_close(ours @ x, wanted, rtol=1e-10, atol=1e-12)


@given(st.integers(0, 1000))
def test_none_is_nearer(seed: int) -> None:
    """Not after any small change, and the distance is what Eckart and Young say of every slice."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(16, 16, generator=generator, dtype=torch.float64)
    found = Monarch.nearest(matrix, 4)
    distance = (found.dense() - matrix).square().sum()
    slices = matrix.view(4, 4, 4, 4).permute(1, 2, 0, 3)
    rest = torch.linalg.svdvals(slices)[..., 1:].square().sum()
    torch.testing.assert_close(distance, rest, rtol=1e-9, atol=1e-12)
    changes = (0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (found.first, found.second))
    other = Monarch(*(x + change for x, change in zip((found.first, found.second), changes, strict=True)))
    assert (other.dense() - matrix).square().sum() > distance


def test_the_fourier_transform_is_one_after_a_permutation_of_its_columns() -> None:
    size = 4
    order = torch.arange(size**2).view(size, size).T.flatten()
    transform = torch.from_numpy(dft(size**2))
    permuted = Monarch.nearest(transform[:, order], size)
    torch.testing.assert_close(permuted.dense(), transform[:, order], rtol=0, atol=1e-12)
    assert (Monarch.nearest(transform, size).dense() - transform).abs().max() > 0.5


@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_is_the_matrix(bias: bool) -> None:
    dense = torch.nn.Linear(8, 12, bias=bias, dtype=torch.float64)
    layer = MonarchLinear.of(dense, blocks=2, rank=1)
    x = torch.randn(5, 8, dtype=torch.float64)
    wanted = x @ Monarch.nearest(dense.weight.detach(), 2).dense().T
    wanted = wanted + dense.bias if bias else wanted
    torch.testing.assert_close(layer(x), wanted, rtol=1e-10, atol=1e-12)
    assert sum(p.numel() for p in layer.parameters()) == 8 * 2 + 12 * 2 + 12 * bias
    assert torch.autograd.gradcheck(layer, x.requires_grad_())


def test_the_layer_keeps_variance_at_the_start() -> None:
    torch.manual_seed(0)
    found = MonarchLinear(256, 512)(torch.randn(4000, 256)).detach()
    assert float(found.var()) == pytest.approx(1.0, rel=0.1)


def test_blocks_must_divide() -> None:
    with pytest.raises(ShapeError, match="do not divide"):
        MonarchLinear(8, 9, blocks=4)
    with pytest.raises(ShapeError, match="do not divide"):
        Monarch.nearest(torch.ones(8, 9), 4)


def test_the_nearest_to_a_matrix_of_a_short_type_is_that_of_its_numbers() -> None:
    matrix = torch.randn(8, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    found, wanted = Monarch.nearest(matrix, 2), Monarch.nearest(matrix.float(), 2)
    assert torch.equal(found.first, wanted.first.bfloat16())
    assert torch.equal(found.second, wanted.second.bfloat16())
