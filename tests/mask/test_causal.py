"""Causal attention is PyTorch's own."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from by_hand import drawn, tensors
from longspan import attend
from longspan.scheme import Scheme


def test_attention_is_that_of_torch() -> None:
    q, k, v = tensors(*drawn(12))
    wanted = scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attend(q, k, v, "causal"), wanted, rtol=0, atol=1e-14)


def test_it_is_the_default() -> None:
    assert Scheme().direction.name == "causal"
