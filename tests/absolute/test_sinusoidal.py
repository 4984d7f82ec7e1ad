"""Sinusoidal positions are those of two models of transformers, and their products depend on the difference only."""

import pytest
import torch
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.xlm.modeling_xlm import create_sinusoidal_embeddings

from longspan.absolute.sinusoidal import Sinusoidal, sinusoids
from longspan.errors import SchemeError, ShapeError


def test_the_interleaved_layout_is_that_of_xlm() -> None:
    wanted = create_sinusoidal_embeddings(50, 12, torch.empty(50, 12))
    torch.testing.assert_close(sinusoids(torch.arange(50), 12).float(), wanted, rtol=0, atol=1e-6)


def test_the_half_layout_is_that_of_marian() -> None:
    wanted = MarianSinusoidalPositionalEmbedding(50, 12).create_weight()
    torch.testing.assert_close(sinusoids(torch.arange(50), 12, layout="half").float(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("start", [0, 77])
def test_products_by_distance(start: int) -> None:
    """Computed independently for D = 128; the average falls, the values oscillate."""
    table = sinusoids(torch.arange(start, start + 4097), 128)
    products = table[0] @ table.T
    wanted = torch.tensor([64, 62.0937, 42.8200, 30.5435, 10.1777, -3.3826], dtype=torch.float64)
    torch.testing.assert_close(products[[0, 1, 10, 100, 1000, 4096]], wanted, rtol=0, atol=5e-5)
    means = products[:4096].unflatten(0, (8, 512)).mean(1)
    falling = torch.tensor([23.2, 13.5, 9.7, 7.5, 6.2, 3.9, 3.2, 2.5], dtype=torch.float64)
    torch.testing.assert_close(means, falling, rtol=0, atol=0.06)


def test_gram_matrix_is_toeplitz() -> None:
    table = sinusoids(torch.arange(60), 32)
    gram = table @ table.T
    torch.testing.assert_close(gram[1:, 1:], gram[:-1, :-1], rtol=0, atol=1e-12)
    torch.testing.assert_close(gram, gram.T, rtol=0, atol=0)


def test_a_later_position_is_a_rotation_of_an_earlier_one() -> None:
    """Of each pair (sin, cos), by the distance times the pair's frequency, written out with complex numbers."""
    theta = 10000.0 ** (-torch.arange(0, 16, 2, dtype=torch.float64) / 16)
    early, late = (torch.view_as_complex(sinusoids(torch.tensor(p), 16).view(8, 2)) for p in (5.0, 12.5))
    torch.testing.assert_close(late, early * torch.exp(-1j * 7.5 * theta), rtol=0, atol=1e-13)


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ShapeError, match="dim must be even and at least 2, got 7"):
        sinusoids(torch.arange(3), 7)


def test_beside_small_embeddings_the_sines_are_small() -> None:
    filled = Sinusoidal(theta=500.0).fill(trained_length=64, spread=0.02)
    assert torch.equal(filled.vectors(torch.arange(9), 8, {}), 0.02 * sinusoids(torch.arange(9), 8, theta=500.0))
    assert Sinusoidal(spread=1.0).fill(trained_length=64, spread=0.02).spread == 1.0


@pytest.mark.parametrize("wrong", [{"theta": 1.0}, {"spread": -1.0}])
def test_numbers_without_a_meaning_are_refused(wrong: dict) -> None:
    with pytest.raises(SchemeError, match=f"sinusoidal: {next(iter(wrong))} must be"):
        Sinusoidal(**wrong)
