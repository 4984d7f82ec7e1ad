"""Outside sources: x-transformers' attention with query-key normalization, and the article's λ = 4 ln n, n = L / 2."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from x_transformers.x_transformers import Attention

from longspan import Geometry, attend, parse
from longspan.errors import SchemeError
from longspan.notation import format_scheme
from longspan.qk_norm.cosine import Cosine

HEADS, HEAD_DIM = 4, 8


def test_is_the_attention_of_x_transformers() -> None:
    """Theirs is a cosine times ten."""
    dim = HEADS * HEAD_DIM
    theirs = Attention(dim, dim_head=HEAD_DIM, heads=HEADS, causal=True, qk_norm=True, qk_norm_scale=10).double()
    hidden = torch.randn(2, 9, dim, dtype=torch.float64)
    query, key, value = (
        project(hidden).view(2, 9, HEADS, HEAD_DIM).transpose(1, 2)
        for project in (theirs.to_q, theirs.to_k, theirs.to_v)
    )
    ours = attend(query, key, value, "cosine + constant(10)").transpose(1, 2).flatten(2)
    torch.testing.assert_close(theirs.to_out(ours), theirs(hidden))


def test_no_length_counts() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    lengths = torch.rand(2, 2, 4, 9, 1, dtype=torch.float64) * 10 + 0.1
    plain = attend(query, key, value, "rope + cosine")
    torch.testing.assert_close(attend(query * lengths[0], key * lengths[1], value, "rope + cosine"), plain)


def test_brings_the_articles_scale() -> None:
    assert parse("rope + cosine").scale(0.125, {}) == pytest.approx(4 * log(256))


@given(trained_length=st.integers(4, 10**6), longer=st.integers(1, 100))
def test_with_a_model_n_is_half_the_trained_length(trained_length: int, longer: int) -> None:
    """Whatever the length to read; 512 tokens give the article's 256."""
    geometry = Geometry(4, 4, 8, trained_length=trained_length)
    scheme = parse("rope + cosine", geometry, longer * trained_length)
    assert scheme.scale(0.125, {}) == pytest.approx(4 * log(trained_length // 2), rel=1e-15)
    assert format_scheme(scheme) == f"rope(theta=10000.0) + cosine(length={trained_length // 2})"
    assert parse(format_scheme(scheme)) == scheme


@pytest.mark.parametrize("trained_length", [1, 2, 3])
def test_a_tiny_trained_length_still_gives_a_factor(trained_length: int) -> None:
    scale = parse("cosine", Geometry(4, 4, 8, trained_length=trained_length)).scale
    assert scale(0.125, {}) == pytest.approx(4 * log(2), rel=1e-15)


def test_a_given_length_stays() -> None:
    scale = parse("cosine(length=1024)", Geometry(4, 4, 8, trained_length=512)).scale
    assert scale(0.125, {}) == pytest.approx(40 * log(2), rel=1e-15)


def test_a_multiplier_below_one() -> None:
    assert parse("cosine(0.5)").scale(0.125, {}) == pytest.approx(4 * log(2), rel=1e-15)


@pytest.mark.parametrize("text", ["cosine + log_length(256, training)", "cosine(length=9) + log_length(9, training)"])
@pytest.mark.parametrize("visible", [1, 100, 256, 4096])
def test_with_log_length_of_the_same_number_the_scale_is_four_times_the_logarithm(text: str, visible: int) -> None:
    scheme = parse(f"rope + {text}")
    assert scheme.sharpness is not None
    sharpness = float(scheme.sharpness(torch.tensor([[[visible]]]), {}))
    assert scheme.scale(0.125, {}) * sharpness == pytest.approx(4 * log(visible))


def test_refuses_a_multiplier_of_nothing_and_a_length_without_a_logarithm() -> None:
    with pytest.raises(SchemeError, match="cosine: multiplier must be above 0, got 0"):
        Cosine(multiplier=0)
    with pytest.raises(SchemeError, match="cosine: length must be at least 2, got 1"):
        Cosine(length=1)
