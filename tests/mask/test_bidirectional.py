"""Bidirectional attention is PyTorch's own without a mask."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from by_hand import drawn, tensors
from longspan import attend


def test_attention_is_that_of_torch() -> None:
    q, k, v = tensors(*drawn(12))
    wanted = scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend(q, k, v, "bidirectional"), wanted, rtol=0, atol=1e-14)
