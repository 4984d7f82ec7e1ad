"""Outside sources: the article's definition (kexue.fm/archives/9859), and PyTorch's attention on unit queries."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend


def test_is_torch_attention_on_queries_of_length_one() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    short = query / torch.linalg.vector_norm(query, dim=-1, keepdim=True)
    wanted = scaled_dot_product_attention(short, key, value, is_causal=True, scale=1.0)
    torch.testing.assert_close(attend(query, key, value, "query_norm"), wanted)


def test_a_querys_length_does_not_count_and_a_keys_does() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    lengths = torch.rand(2, 4, 9, 1, dtype=torch.float64) * 10 + 0.1
    plain = attend(query, key, value, "rope + query_norm")
    torch.testing.assert_close(attend(query * lengths, key, value, "rope + query_norm"), plain)
    assert not torch.allclose(attend(query, key * lengths, value, "rope + query_norm"), plain)
