"""Outside sources: values of the paper's construction computed apart, and x-transformers' sinusoidal embedding."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from x_transformers.x_transformers import ScaledSinusoidalEmbedding

from longspan import attend
from longspan.bias.sandwich import Sandwich
from longspan.errors import SchemeError


@pytest.mark.parametrize(
    ("head", "wanted"), [(1, [-2.86, -31.8, -50.2, -80.7, -101.1]), (12, [-0.24, -2.65, -4.18, -6.73, -8.42])]
)
def test_values_of_twelve_heads(head: int, wanted: list[float]) -> None:
    """Relative to distance zero, at distances 1, 10, 100, 1000 and 4096."""
    distances = torch.tensor([1, 10, 100, 1000, 4096])
    one = Sandwich()(torch.cat([distances, torch.tensor([0])]), torch.tensor(head - 1), 12, {})
    for value, expected in zip((one[:-1] - one[-1]).tolist(), wanted, strict=True):
        assert value == pytest.approx(expected, abs=0.006 if abs(expected) < 10 else 0.06)


def test_is_largest_at_distance_zero_and_symmetric() -> None:
    distances = torch.arange(1, 5000)
    biases = Sandwich()(distances, torch.tensor(0), 8, {})
    assert (biases < Sandwich()(torch.tensor(0), torch.tensor(0), 8, {})).all()
    assert torch.equal(biases, Sandwich()(-distances, torch.tensor(0), 8, {}))


@pytest.mark.parametrize("width", [2, 32, 128])
def test_is_attention_with_position_embeddings_beside_query_and_key(width: int) -> None:
    """[q, p_m / ratio] · [k, p_n], with p from x-transformers and the ratio 8h/H written out."""
    num_heads, keys = 4, 30
    embedding = ScaledSinusoidalEmbedding(width)
    with torch.no_grad():
        embedding.scale.fill_(1.0)
        place = embedding(torch.zeros(1, keys, width)).double().expand(2, num_heads, keys, width)
    query, key, value = torch.randn(3, 2, num_heads, keys, 8, dtype=torch.float64)
    ratio = torch.tensor([2.0, 4.0, 6.0, 8.0], dtype=torch.float64)[:, None, None]
    beside = attend(torch.cat([query, place / ratio], -1), torch.cat([key, place], -1), value, "unscaled")
    # Their angles are float32.
    torch.testing.assert_close(attend(query, key, value, f"sandwich({width}) + unscaled"), beside, rtol=0, atol=1e-4)


@given(
    num_heads=st.integers(1, 100), pairs=st.integers(1, 64), distance=st.integers(-4096, 4096), head=st.integers(0, 99)
)
def test_is_the_closed_form_in_float64(num_heads: int, pairs: int, distance: int, head: int) -> None:
    """The tolerance is relative to the bias at distance zero, the largest: at other distances cosines cancel."""
    head %= num_heads
    largest = pairs / (8 * (head + 1) / num_heads)
    wanted = largest * np.cos(distance * 10000.0 ** (-np.arange(pairs) / pairs)).mean()
    bias = Sandwich(2 * pairs)(torch.tensor(distance), torch.tensor(head), num_heads, {})
    assert bias.dtype == torch.float64
    assert bias.item() == pytest.approx(wanted, rel=0, abs=1e-12 * largest)


@pytest.mark.parametrize("width", [0, 3])
def test_refuses_a_width_without_pairs(width: int) -> None:
    with pytest.raises(SchemeError, match="even"):
        Sandwich(width)
