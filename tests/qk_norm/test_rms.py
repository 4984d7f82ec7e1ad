"""Outside source: transformers' Qwen3."""

import pytest
import torch
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from longspan import attend
from longspan.errors import SchemeError
from longspan.qk_norm.rms import RMS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
@pytest.mark.parametrize("side", ["query", "key"])
def test_is_the_norm_of_qwen3(side: str, eps: float, dtype: torch.dtype) -> None:
    theirs = Qwen3RMSNorm(16, eps)
    gain = torch.rand(16) + 0.5
    with torch.no_grad():
        theirs.weight.copy_(gain)
    x = torch.randn(2, 4, 9, 16).to(dtype)
    ours = getattr(RMS(eps), side)(x, {f"{side}_gain": gain})
    # Theirs rounds before the gain, ours after it.
    two_roundings = 2 * torch.finfo(dtype).eps
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.float(), theirs(x).detach().float(), rtol=two_roundings, atol=0)


def test_eps_is_that_of_qwen3_where_none_is_given() -> None:
    assert RMS().eps == Qwen3Config().rms_norm_eps


def test_gains_may_be_left_out() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8)
    ones = {"qk_norm.query_gain": torch.ones(8), "qk_norm.key_gain": torch.ones(8)}
    plain = attend(query, key, value, "rope + rms")
    assert torch.equal(plain, attend(query, key, value, "rope + rms", weights=ones))
    for name in ones:
        doubled = attend(query, key, value, "rope + rms", weights=ones | {name: 2 * ones[name]})
        assert not torch.allclose(plain, doubled)


def test_no_length_counts() -> None:
    query, key, value = torch.randn(3, 2, 4, 9, 8, dtype=torch.float64)
    lengths = torch.rand(2, 2, 4, 9, 1, dtype=torch.float64) * 10 + 0.1
    scaled = attend(query * lengths[0], key * lengths[1], value, "rope + rms(0)")
    torch.testing.assert_close(scaled, attend(query, key, value, "rope + rms(0)"))


def test_a_zero_key_stays_zero_with_a_finite_gradient() -> None:
    key = torch.zeros(3, 8, requires_grad=True)
    normalized = RMS().key(key, {})
    normalized.sum().backward()
    assert not normalized.any()
    assert key.grad is not None
    assert key.grad.isfinite().all()


def test_refuses_a_negative_eps() -> None:
    with pytest.raises(SchemeError, match="at least 0"):
        RMS(eps=-1e-6)
