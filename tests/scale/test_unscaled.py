"""Outside source: PyTorch's scaled dot-product attention without its scale."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend


def test_is_torch_attention_at_scale_one() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0)
    torch.testing.assert_close(attend(query, key, value, "unscaled"), wanted)
    torch.testing.assert_close(attend(query, key, value, "unscaled", scale=0.25), wanted)
