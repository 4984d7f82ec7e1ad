"""Outside source: PyTorch's own scaled dot-product attention."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend


@pytest.mark.parametrize("scale", [None, 0.3])
def test_is_torch_attention(scale: float | None) -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    torch.testing.assert_close(attend(query, key, value, "inverse_sqrt", scale=scale), wanted)
