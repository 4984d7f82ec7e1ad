"""Outside sources: the claims of the paper (arXiv:2205.13401) and its formula (softmax ⊙ C) V with C from SciPy."""

import pytest
import torch
from scipy.linalg import toeplitz
from transformers.models.t5.modeling_t5 import T5Attention

from longspan import attend
from longspan.bias.t5 import T5
from longspan.errors import SchemeError
from longspan.reweight.urpe import URPE

HEADS, KEYS = 3, 9


def attended(max_distance: int, factors: torch.Tensor, value: torch.Tensor | None = None) -> torch.Tensor:
    """Bidirectional attention of a fixed query and key."""
    query, key, default = torch.randn(3, 2, HEADS, KEYS, 8, generator=torch.Generator().manual_seed(7)).double()
    value = default if value is None else value
    text = f"rope + urpe({max_distance}) + bidirectional"
    return attend(query, key, value, text, weights={"reweight.factors": factors})


def plain(value: torch.Tensor | None = None) -> torch.Tensor:
    return attended(0, torch.ones(HEADS, 1).double(), value)


def test_is_the_papers_product_with_a_toeplitz_matrix() -> None:
    """C has c[j − i] at (i, j); with the identity for values the output is the matrix of weights."""
    factors = torch.randn(HEADS, 2 * KEYS - 1, dtype=torch.float64)
    identity = torch.eye(KEYS, dtype=torch.float64).expand(2, HEADS, -1, -1)
    for head in range(HEADS):
        c = factors[head].numpy()
        matrix = torch.from_numpy(toeplitz(c[KEYS - 1 :: -1], c[KEYS - 1 :]))
        ours = attended(KEYS - 1, factors, identity)[:, head]
        torch.testing.assert_close(ours, plain(identity)[:, head] * matrix)


def test_factors_of_one_change_nothing() -> None:
    start = URPE(4).initial_weights(HEADS, 8)["factors"].double()
    query, key, value = torch.randn(3, 2, HEADS, KEYS, 8, dtype=torch.float64)
    reweighted = attend(query, key, value, "rope + urpe(4)", weights={"reweight.factors": start})
    torch.testing.assert_close(reweighted, attend(query, key, value, "rope"))


def test_one_factor_per_head_scales_that_heads_output() -> None:
    factor = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)
    scaled = attended(4, factor[:, None].expand(-1, 9))
    torch.testing.assert_close(scaled, plain() * factor[:, None, None])


def test_distances_beyond_the_limit_share_the_last_factor() -> None:
    near = torch.randn(HEADS, 5, dtype=torch.float64)
    far = torch.cat([near[:, :1].expand(-1, 6), near, near[:, -1:].expand(-1, 6)], -1)
    torch.testing.assert_close(attended(2, near), attended(8, far))


def test_buckets_of_the_authors_code_are_a_table_looked_up_beforehand() -> None:
    """Their 64 buckets up to 128 tokens, from transformers; the gradient reaches the table."""
    table = torch.randn(HEADS, 64, dtype=torch.float64, requires_grad=True)
    bucket = T5(64, 128, sides="both").bucket(torch.arange(128, -129, -1))
    factor = {"factors": table[:, bucket]}
    relative, head = torch.arange(-300, 301), torch.arange(HEADS)[:, None]
    theirs = table[:, T5Attention._relative_position_bucket(-relative, True, 64, 128)]
    ours = URPE()(relative, head, HEADS, factor)
    assert torch.equal(ours, theirs)
    (grown,) = torch.autograd.grad(ours.sum(), table)
    assert grown.sum() == HEADS * len(relative)


def test_reaches_128_tokens_to_both_sides_where_nothing_is_given() -> None:
    """Our choice: the paper's table has the length of its text. A saved table fits only if it stays."""
    assert URPE().initial_weights(HEADS, 8)["factors"].shape == (HEADS, 257)


def test_a_place_between_two_counts_as_the_one_nearer_to_zero() -> None:
    between = torch.tensor([0.5, -0.5, 1.9, -1.9, 5.5], dtype=torch.float64)
    factors = {"factors": torch.tensor([[2.0, 1.0, 0.0, -1.0, -2.0]])}
    assert URPE(2)(between, torch.tensor(0), 1, factors).tolist() == [0, 0, 1, -1, 2]


def test_refuses_a_negative_distance() -> None:
    with pytest.raises(SchemeError, match="at least 0"):
        URPE(-1)
