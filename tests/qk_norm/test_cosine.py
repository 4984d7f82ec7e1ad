"""Outside sources: x-transformers' attention with query-key normalization, and the article's λ = 4 ln n."""

from math import log

import pytest
import torch
from x_transformers.x_transformers import Attention

from longspan import attend, parse
from longspan.errors import SchemeError
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
    scale = parse("rope + cosine").scale
    assert scale(torch.tensor([[[7]]]), 0.125, {}) == pytest.approx(4 * log(256))


def test_a_multiplier_below_one() -> None:
    assert Cosine(0.5).brings().value == pytest.approx(4 * log(2), rel=1e-15)


@pytest.mark.parametrize("visible", [1, 100, 256, 4096])
def test_with_log_length_the_scale_is_four_times_the_logarithm(visible: int) -> None:
    scale = parse("rope + cosine + log_length(256, form=training)").scale
    assert float(scale(torch.tensor([[[visible]]]), 0.125, {})) == pytest.approx(4 * log(visible))


def test_refuses_a_multiplier_of_nothing() -> None:
    with pytest.raises(SchemeError, match="above 0"):
        Cosine(multiplier=0)
