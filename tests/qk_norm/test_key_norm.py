"""Outside sources: the article's claim (kexue.fm/archives/9859), and PyTorch's attention on keys of length one."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from longspan import attend
from longspan.qk_norm.key_norm import KeyNorm, unit


def test_is_torch_attention_on_keys_of_length_one() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    short = key / torch.linalg.vector_norm(key, dim=-1, keepdim=True)
    wanted = scaled_dot_product_attention(query, short, value, is_causal=True, scale=1.0)
    torch.testing.assert_close(attend(query, key, value, "key_norm"), wanted)


def test_a_keys_length_does_not_count_and_a_querys_does() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    lengths = torch.rand(2, 4, 9, 1, dtype=torch.float64) * 10 + 0.1
    plain = attend(query, key, value, "rope + key_norm")
    torch.testing.assert_close(attend(query, key * lengths, value, "rope + key_norm"), plain)
    assert not torch.allclose(attend(query * lengths, key, value, "rope + key_norm"), plain)


def test_commutes_with_rotation() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    before = attend(query, unit(key), value, "rope + unscaled")
    torch.testing.assert_close(attend(query, key, value, "rope + key_norm"), before)


def test_a_zero_key_stays_zero_with_a_finite_gradient() -> None:
    key = torch.zeros(3, 8, requires_grad=True)
    normalized = KeyNorm().key(key, {})
    normalized.sum().backward()
    assert not normalized.any()
    assert key.grad is not None
    assert key.grad.isfinite().all()


def test_a_length_beyond_half_precision_does_not_overflow() -> None:
    """The key's length is 120000, the largest float16 65504."""
    key = KeyNorm().key(torch.full((4,), 60000.0, dtype=torch.float16), {})
    assert key.dtype == torch.float16
    assert key.tolist() == [0.5] * 4
