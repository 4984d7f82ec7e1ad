"""The kernel of the CPU: PyTorch's flash attention, with log-sum-exp and backward pass.

It asks of its caller (torch 2.9 to 2.13): no empty tensor (the process dies), last dimension contiguous (otherwise it
silently computes something else), values as wide as queries, an additive mask in float32 at least.
"""

import torch
from jaxtyping import Float
from torch import Tensor

operation = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

PACKED = 16
"""Up to so many queries are packed; more of them fill the kernel's blocks by themselves."""

VECTOR: int = 16
"""With fewer keys than this the kernel may give zeros, also as the log-sum-exp, for a row whose scores are all NaN."""

MANY = 16
"""With so many causal tiles per thread, the threads get nearly equal shares."""


def forward(
    query: Float[Tensor, "batch heads queries d"],
    key: Float[Tensor, "batch kv_heads keys d"],
    value: Float[Tensor, "batch kv_heads keys d"],
    scale: float,
    causal: bool,
    mask: Float[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "batch heads queries d"], Float[Tensor, "batch heads queries"]]:
    """Output and log-sum-exp; causal lets query t see keys 0 … t.

    With fewer than `VECTOR` keys, a row whose scores are all NaN may come out as zeros. A NaN in a value may come out
    in rows that do not see it. Callers look for both.

    Few queries without a mask are packed: the queries of all heads that share a key head become rows of one head, so
    that the kernel reads the keys once.
    """
    batch, heads, queries, _ = query.shape
    groups = heads // key.shape[1]
    if queries <= PACKED and groups > 1 and not causal and mask is None:
        packed = query.reshape(batch, key.shape[1], groups * queries, -1)
        out, lse = operation(packed, key, value, 0.0, False, scale=scale)
        return out.reshape(query.shape), lse.reshape(query.shape[:3])
    return operation(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)


def backward(
    grad: Float[Tensor, "batch heads queries d"],
    query: Float[Tensor, "batch heads queries d"],
    key: Float[Tensor, "batch kv_heads keys d"],
    value: Float[Tensor, "batch kv_heads keys d"],
    out: Float[Tensor, "batch heads queries d"],
    lse: Float[Tensor, "batch heads queries"],
    scale: float,
    causal: bool,
    mask: Float[Tensor, "..."] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value; exact for one tile of many if `out` and `lse` are those of whole rows."""
    return _backward(grad, query, key, value, out, lse, 0.0, causal, attn_mask=mask, scale=scale)


def refusal(dtype: torch.dtype) -> str | None:
    """Refuse no dtype."""
    return None


def width(channels: int) -> int:
    """Take any number of channels."""
    return channels


def strip(dtype: torch.dtype) -> int | None:
    """Rows of a masked strip, the fastest measured in each dtype."""
    return 192 if dtype in (torch.float32, torch.float64) else 384


def halvings(batch: int, heads: int) -> int:
    """How often to halve causal tiles so that every thread gets an equal share of the work.

    The kernel gives each thread as many blocks of rows, in order: of two threads with nine heads, one gets the later
    half of the fifth head, which sees three times as many keys as the earlier half, and the other thread waits for it.
    """
    threads, calls, found = torch.get_num_threads(), batch * heads, 0
    while calls % threads and calls < MANY * threads:
        found += 1
        calls = heads << found  # halves take the batch dimension
    return found


def mask_dtype(dtype: torch.dtype) -> torch.dtype:
    """Masks are at least float32."""
    return torch.promote_types(dtype, torch.float32)
