"""The fused kernels that tiles are made of: PyTorch's flash attention, with log-sum-exp and backward.

What the kernel of the CPU asks of its caller (torch 2.9 to 2.13): no empty tensor (the process dies), last dimension
contiguous (silently wrong otherwise), values as wide as queries, an additive mask in float32 at least.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.kernels import cuda as flash_cuda

operation = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


FEW = 16
"""So few queries are packed; more fill the kernel's blocks by themselves."""


VECTOR = 16
"""With fewer keys than this the kernel may give zeros, the log-sum-exp as well, for a row of nothing but NaN."""
MANY = 16
"""So many causal tiles a thread are dealt out evenly enough."""


def flash(
    query: Float[Tensor, "batch heads queries d"],
    key: Float[Tensor, "batch kv_heads keys d"],
    value: Float[Tensor, "batch kv_heads keys d"],
    scale: float,
    causal: bool,
    mask: Float[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "batch heads queries d"], Float[Tensor, "batch heads queries"]]:
    """Output and log-sum-exp; causal lets query t see keys 0 … t.

    With fewer than `VECTOR` keys, a row of NaN scores alone may come out as zeros. A NaN of a value may come out in
    rows that do not see it. Callers look for both.

    Few queries without a mask are packed: those of all heads that share a key head become rows of one head, so that
    keys are read once.
    """
    if on_cuda(query.device):
        return flash_cuda.forward(query, key, value, scale, causal, mask)
    batch, heads, queries, _ = query.shape
    groups = heads // key.shape[1]
    if queries <= FEW and groups > 1 and not causal and mask is None:
        packed = query.reshape(batch, key.shape[1], groups * queries, -1)
        out, lse = operation(packed, key, value, 0.0, False, scale=scale)
        return out.reshape(query.shape), lse.reshape(query.shape[:3])
    return operation(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)


def flash_backward(
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
    """Gradients of query, key and value; exact for one tile of many when `out` and `lse` are those of the whole row."""
    if on_cuda(query.device):
        return flash_cuda.backward(grad, query, key, value, out, lse, scale, causal, mask)
    return _backward(grad, query, key, value, out, lse, 0.0, causal, attn_mask=mask, scale=scale)


def on_cuda(device: torch.device) -> bool:
    """Whether the kernels are those of CUDA."""
    return device.type == "cuda"


def refusal(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why no kernel serves tensors on a device; None where one does."""
    if on_cuda(device):
        return flash_cuda.refusal(dtype)
    return None if device.type == "cpu" else f"its flash kernels are those of CPU and CUDA, the inputs are on {device}"


def fitting(width: int, device: torch.device) -> int:
    """The next head size that the kernels take."""
    return width + -width % 8 if on_cuda(device) else width


def strip(dtype: torch.dtype, device: torch.device) -> int | None:
    """Rows of a masked strip, the fastest measured for each type; None where triangles beat masks."""
    if on_cuda(device):
        return None
    return 192 if dtype in (torch.float32, torch.float64) else 384


def halvings(batch: int, heads: int, device: torch.device) -> int:
    """How often to halve causal tiles until every thread gets an equal share.

    The kernel of the CPU deals out the blocks of rows in order: two threads with nine heads wait for the one that has
    the later half of the fifth, which sees three times the keys of the earlier half.
    """
    threads, calls, found = torch.get_num_threads(), batch * heads, 0
    while not on_cuda(device) and calls % threads and calls < MANY * threads:
        found += 1
        calls = heads << found  # halves take the batch dimension
    return found


def band_mask_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The type of a mask of zeros and −inf: no number of it is rounded."""
    return dtype if on_cuda(device) else torch.promote_types(dtype, torch.float32)
