"""Outside sources: SciPy's nearest neighbours and k-means step, the two gradients by hand, entropies by NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from longspan.errors import ShapeError
from longspan.quantizers.vq import VQ, Usage


def drawn(vectors: int = 40, width: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(vectors, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 100))
def test_the_nearest_is_scipys(codes: int, width: int, seed: int) -> None:
    x, vq = drawn(width=width, seed=seed), VQ(codes)
    book = vq.start(x, torch.Generator().manual_seed(seed))
    wanted = cdist(x.numpy(), vq.vectors(book).numpy()).argmin(1)
    assert vq.nearest(x, book).tolist() == wanted.tolist()


def test_without_memory_an_update_is_a_step_of_k_means() -> None:
    x, vq = drawn(), VQ(codes=4, decay=0.0, restart=0.0)
    book = vq.start(x, torch.Generator().manual_seed(0))
    found = vq.nearest(x, book)
    means = torch.stack([x[found == code].mean(0) for code in range(4)])
    torch.testing.assert_close(vq.vectors(vq.update(x, book)), means, rtol=1e-12, atol=1e-12)


@given(st.floats(0.0, 0.99))
def test_averages_are_exponential(decay: float) -> None:
    """After many equal batches the codes are the means, and counts the number of vectors."""
    x, vq = drawn(), VQ(codes=1, decay=decay, restart=0.0)
    book = vq.start(x)
    for _ in range(3):
        book = vq.update(x, book)
    kept = decay**3
    assert float(book["count"][0]) == pytest.approx(kept + (1 - kept) * 40)
    torch.testing.assert_close(book["sum"][0], kept * x[0] + (1 - kept) * x.sum(0), rtol=1e-9, atol=1e-12)


def test_gradients_are_split() -> None:
    x, vq = drawn().requires_grad_(), VQ(codes=4)
    book = {name: value.requires_grad_() for name, value in vq.start(drawn(seed=1)).items()}
    quantized, found, commitment = vq.quantize(x, book)
    torch.testing.assert_close(quantized, vq.vectors(book)[found], rtol=1e-12, atol=1e-12)
    weight = drawn(seed=2)
    (passed,) = torch.autograd.grad((quantized * weight).sum(), x, retain_graph=True)
    assert torch.equal(passed, weight)
    (pulled, *rest) = torch.autograd.grad(commitment.sum(), (x, *book.values()), allow_unused=True)
    torch.testing.assert_close(pulled, 2 * (x - vq.vectors(book)[found]).detach(), rtol=1e-12, atol=1e-12)
    assert rest == [None, None]


def test_enough_codes_reproduce_every_vector() -> None:
    x = drawn(vectors=7).repeat(5, 1)
    vq = VQ(codes=7)
    quantized, _, commitment = vq.quantize(x, vq.start(x, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(quantized, x, rtol=1e-12, atol=1e-12)
    assert float(commitment.max()) < 1e-20


def test_codes_repeat_where_vectors_are_fewer() -> None:
    x, vq = drawn(vectors=7), VQ(codes=9)
    book = vq.start(x.repeat(3, 1), torch.Generator().manual_seed(0))
    assert {tuple(code) for code in vq.vectors(book).tolist()} == {tuple(vector) for vector in x.tolist()}


def test_a_codebook_starts_as_large_as_its_vectors_and_without_their_gradient() -> None:
    """Scaled vectors have the same codes, scaled."""
    x, vq = drawn(), VQ(codes=5)
    book = vq.start(x.requires_grad_(), torch.Generator().manual_seed(3))
    assert not any(value.requires_grad for value in book.values())
    small = vq.start(x * 2.0**-20, torch.Generator().manual_seed(3))
    assert torch.equal(vq.vectors(small), vq.vectors(book) * 2.0**-20)


@pytest.mark.parametrize("restart", [0.0, 0.5])
def test_codes_out_of_use_restart_at_vectors(restart: float) -> None:
    x, far = drawn(), torch.full((4, 3), 1e3, dtype=torch.float64)
    vq = VQ(codes=4, decay=0.5, restart=restart)
    book = {"count": torch.ones(4, dtype=torch.float64), "sum": far.clone()}
    book["sum"][0] = x[0]
    for _ in range(3):
        book = vq.update(x, book, torch.Generator().manual_seed(0))
    used = Usage.of(vq.nearest(x, book), 4).used
    assert used == (1.0 if restart else 0.25)


def test_usage_is_numpys_entropy() -> None:
    found = torch.tensor([0, 0, 1, 3, 3, 3])
    usage = Usage.of(found, 8)
    assert usage.used == 3 / 8
    assert usage.perplexity == pytest.approx(np.exp(entropy([2, 1, 3])))


@pytest.mark.parametrize("settings", [{"codes": 0}, {"decay": 1.0}, {"restart": -1.0}])
def test_what_has_no_meaning_is_refused(settings: dict) -> None:
    with pytest.raises(ShapeError, match="a codebook needs"):
        VQ(**settings)
    with pytest.raises(ShapeError, match="got none"):
        VQ().start(torch.empty(0, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_types_choose_the_codes_of_float32(dtype: torch.dtype) -> None:
    """The squares of long vectors do not fit into float16, and bfloat16 has too few digits for their differences."""
    x, vq = (40 * torch.randn(200, 64, generator=torch.Generator().manual_seed(0))).to(dtype), VQ(codes=16)
    book = vq.start(x, torch.Generator().manual_seed(0))
    assert torch.equal(vq.nearest(x, book), vq.nearest(x.float(), book))
    assert vq.quantize(x, book)[2].isfinite().all()
