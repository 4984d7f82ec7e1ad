"""CUDA's attention kernels imitated in plain PyTorch: what they compute, what they refuse, and what they misread.

The refusals and the misreadings are those of the sources of PyTorch 2.13 (attention_backward.cu, flash_api.cpp,
kernel_backward.h): what passes here meets the kernels' demands; only a GPU can show that the kernels work.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from longspan.compute.kernels import cuda


def install(patch: pytest.MonkeyPatch, ampere: bool = True) -> None:
    """Let tensors of the CPU take the kernel of CUDA."""
    patch.setattr("longspan.compute.attend.KERNELS", {"cpu": cuda})
    patch.setattr(cuda, "_ampere", lambda device: ampere)
    patch.setattr(cuda, "ops", OPS)


def _softmax(query: Tensor, key: Tensor, bias: Tensor | None, causal: bool, scale: float) -> Tensor:
    scores = query.float() @ key.float().repeat_interleave(query.shape[1] // key.shape[1], 1).mT * scale
    scores = scores if bias is None else scores + bias.float()
    rows, keys = scores.shape[-2:]
    return scores.masked_fill(torch.ones(rows, keys).triu(1).bool(), -torch.inf) if causal else scores


def _gradients(grad, query, key, value, out, lse, bias, causal, scale):
    groups = query.shape[1] // key.shape[1]
    k, v = (x.float().repeat_interleave(groups, 1) for x in (key, value))
    weights = (_softmax(query, key, bias, causal, scale) - lse[..., None]).exp()
    of_scores = weights * (grad.float() @ v.mT - (grad.float() * out.float()).sum(-1, keepdim=True)) * scale
    of_query, of_key, of_value = of_scores @ k, of_scores.mT @ query.float(), weights.mT @ grad.float()
    of_key, of_value = (x.unflatten(1, (-1, groups)).sum(2) for x in (of_key, of_value))
    return of_query.to(query.dtype), of_key.to(key.dtype), of_value.to(value.dtype)


def _both(query: Tensor, key: Tensor, value: Tensor) -> None:
    assert len(query) == len(key) <= cuda.BATCH
    assert query.shape[3] == key.shape[3] == value.shape[3]
    for x in (query, key, value):
        assert x.dtype == query.dtype
        assert x.numel()
        assert x.stride(3) == 1
        assert x.shape[3] % 8 == 0
        assert all(x.stride(i) % 4 == 0 or x.shape[i] == 1 for i in range(3))


def _check_flash(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> None:
    _both(query, key, value)
    assert query.dtype in (torch.float16, torch.bfloat16)
    assert query.shape[3] <= 256
    assert query.shape[1] % key.shape[1] == 0
    # Bottom right or top left: the same in a square.
    assert not causal or query.shape[2] == key.shape[2]


def flash_forward(query, key, value, dropout, causal, debug, *, scale):
    _check_flash(query, key, value, causal)
    assert not dropout
    assert not debug
    scores = _softmax(query, key, None, causal, scale)
    out = scores.softmax(-1) @ value.float().repeat_interleave(query.shape[1] // key.shape[1], 1)
    return out.to(query.dtype), scores.logsumexp(-1), None, None, query.shape[2], key.shape[2], None, None, None


def flash_backward(grad, query, key, value, out, lse, _, __, rows, keys, dropout, causal, seed, offset, *, scale):
    _check_flash(query, key, value, causal)
    assert (rows, keys, dropout) == (query.shape[2], key.shape[2], 0.0)
    assert grad.stride(3) == 1
    assert lse.dtype == torch.float32
    raw = lse.as_strided(query.shape[:3], (query.shape[1] * rows, rows, 1))
    return _gradients(grad, query, key, value, out, raw, None, causal, scale)


def _check_efficient(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> None:
    _both(query, key, value)
    assert query.dtype != torch.float64
    assert query.shape[1] == key.shape[1] == value.shape[1]
    if bias is not None:
        assert bias.shape == (*query.shape[:3], key.shape[2])
        assert bias.dtype == query.dtype
        written = bias[0, :1] if bias.stride(1) == 0 else bias[0]
        assert written.numel() <= max(cuda.MASKED, written[:, 0].numel())
        assert bias.stride(3) == 1
        assert all(bias.stride(i) % 8 == 0 or bias.shape[i] == 1 for i in range(3))


def efficient_forward(query, key, value, bias, with_lse, dropout, causal, *, scale):
    _check_efficient(query, key, value, bias)
    assert with_lse
    assert not dropout
    scores = _softmax(query, key, bias, causal, scale)
    out = (scores.softmax(-1) @ value.float()).to(query.dtype)
    lse = torch.nn.functional.pad(scores.logsumexp(-1), (0, -query.shape[2] % 32), value=torch.inf)
    return out.transpose(1, 2).contiguous().transpose(1, 2), lse, torch.zeros(()), torch.zeros(())


def efficient_backward(grad, query, key, value, bias, out, lse, seed, offset, dropout, wanted, causal, *, scale):
    _check_efficient(query, key, value, bias)
    assert not dropout
    assert wanted == [True, True, True, False]
    batch, heads, rows, width = query.shape
    assert lse.dtype == torch.float32
    assert lse.shape[2] % 32 == 0
    assert all(lse.stride(i) % 8 == 0 or lse.shape[i] == 1 for i in range(2))
    raw = lse.as_strided((batch, heads, lse.shape[2]), (lse.stride(0), lse.stride(1), 1))
    assert (raw[..., rows:] == torch.inf).all()
    misread = out.as_strided(query.shape, (out.stride(0), out.stride(1), heads * width, 1))
    gradients = _gradients(grad, query, key, value, misread, raw[..., :rows], bias, causal, scale)
    return *gradients, None


OPS = SimpleNamespace(
    _scaled_dot_product_flash_attention=flash_forward,
    _scaled_dot_product_flash_attention_backward=flash_backward,
    _scaled_dot_product_efficient_attention=efficient_forward,
    _scaled_dot_product_efficient_attention_backward=efficient_backward,
)
