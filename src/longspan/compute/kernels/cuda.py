"""The kernels of CUDA: FlashAttention-2 for 16-bit dtypes, the memory-efficient kernel for float32 and for masks.

What they ask of their caller (torch 2.9 to 2.13, read from their sources and headers; not run here yet):

    both                last dimension contiguous, head sizes a multiple of 8, at most 65535 rows of a batch
    flash               16 bits, heads up to 256, no mask; reads the log-sum-exp as if contiguous
    memory-efficient    as many key heads as query heads; a mask in the queries' dtype, expanded, its rows a multiple of
                        16 apart; the log-sum-exp padded to a multiple of 32; its backward reads the output as if laid
                        out (batch, queries, heads, d), whatever its strides say
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from longspan.memo import remember

ops = torch.ops.aten

BATCH = 65535
"""The largest batch of one launch."""

MASKED = 2**24
"""Elements of a mask that are written to memory at a time."""

WIDEST = 256
"""The largest head size of FlashAttention-2."""

VECTOR: int = 16
"""As on the CPU: nobody has measured which short rows hide a NaN here."""


def forward(
    query: Float[Tensor, "batch heads queries d"],
    key: Float[Tensor, "batch kv_heads keys d"],
    value: Float[Tensor, "batch kv_heads keys d"],
    scale: float,
    causal: bool,
    mask: Float[Tensor, "..."] | None = None,
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp."""
    if len(query) > BATCH:
        parts = [forward(q, k, v, scale, causal, mask) for q, k, v in _launches(query, key, value)]
        out, lse = (torch.cat(x) for x in zip(*parts, strict=True))
        return out, lse
    if mask is None and _flashes(query):
        out, lse, *_ = ops._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, False, scale=scale)
        return out, lse
    dtype = query.dtype if mask is None else mask.dtype
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
    for heads, kv_heads, rows in _pieces(query, key, mask):
        q = query[:, heads, rows].to(dtype)
        k, v = (x[:, kv_heads].to(dtype).expand(-1, q.shape[1], -1, -1) for x in (key, value))
        bias = _bias(mask, heads, rows, q, k)
        part, sums, *_ = ops._scaled_dot_product_efficient_attention(q, k, v, bias, True, 0.0, causal, scale=scale)
        out[:, heads, rows], lse[:, heads, rows] = part.to(out.dtype), sums[:, :, : q.shape[2]]
    return out, lse


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
    """Gradients of query, key and value."""
    if len(query) > BATCH:
        given = _launches(grad, query, key, value, out, lse)
        parts = [backward(g, q, k, v, o, sums, scale, causal, mask) for g, q, k, v, o, sums in given]
        dq, dk, dv = (torch.cat(x) for x in zip(*parts, strict=True))
        return dq, dk, dv
    seed = torch.zeros((), dtype=torch.int64, device=query.device)
    if mask is None and _flashes(query):
        around = None, None, query.shape[2], key.shape[2], 0.0, causal, seed, seed
        return ops._scaled_dot_product_flash_attention_backward(
            grad, query, key, value, out, lse.contiguous(), *around, scale=scale
        )
    dtype = query.dtype if mask is None else mask.dtype
    dq, (dk, dv) = torch.empty_like(query), (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
    for heads, kv_heads, rows in _pieces(query, key, mask):
        q, g, o = (x[:, heads, rows].to(dtype) for x in (query, grad, out))
        k, v = (x[:, kv_heads].to(dtype).expand(-1, q.shape[1], -1, -1) for x in (key, value))
        # exp(score − inf) = 0: a padded row gives no key any weight.
        sums = pad(lse[:, heads, rows], (0, -q.shape[2] % 32), value=torch.inf).contiguous()
        bias, laid_out = _bias(mask, heads, rows, q, k), o.transpose(1, 2).contiguous().transpose(1, 2)
        part, of_keys, of_values, _ = ops._scaled_dot_product_efficient_attention_backward(
            g, q, k, v, bias, laid_out, sums, seed, seed, 0.0, [True, True, True, False], causal, scale=scale
        )
        dq[:, heads, rows] = part.to(dq.dtype)
        for total, found in ((dk, of_keys), (dv, of_values)):
            one_each = found.shape[1] == total[:, kv_heads].shape[1]
            total[:, kv_heads] += found if one_each else found.sum(1, keepdim=True)
    return dq, dk.to(key.dtype), dv.to(value.dtype)


def refusal(dtype: torch.dtype) -> str | None:
    """Refuse float64."""
    return None if dtype != torch.float64 else "no flash kernel of CUDA computes in float64"


def width(channels: int) -> int:
    """The next multiple of 8."""
    return channels + -channels % 8


def strip(dtype: torch.dtype) -> int | None:
    """None: triangles, which need no mask."""
    return None


def halvings(batch: int, heads: int) -> int:
    """0: the scheduler of a GPU shares the work by itself."""
    return 0


def mask_dtype(dtype: torch.dtype) -> torch.dtype:
    """Masks have the dtype of the queries."""
    return dtype


@remember(None)
def _ampere(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _flashes(query: Tensor) -> bool:
    return query.dtype in (torch.float16, torch.bfloat16) and query.shape[3] <= WIDEST and _ampere(query.device)


def _launches(*tensors: Tensor) -> Iterator[list[Tensor]]:
    for start in range(0, len(tensors[0]), BATCH):
        yield [x[start : start + BATCH] for x in tensors]


def _pieces(query: Tensor, key: Tensor, mask: Tensor | None) -> Iterator[tuple[slice, slice, slice]]:
    """Query heads, their key heads and rows of each call.

    One key head at a time where queries share it, so that keys are views; with a mask, as many rows as `MASKED` allows.
    """
    (_, heads, queries, _), kv_heads = query.shape, key.shape[1]
    step = queries if mask is None else max(1, MASKED // key.shape[2] // mask.shape[1])
    groups = heads // kv_heads
    shared = [(slice(h * groups, h * groups + groups), slice(h, h + 1)) for h in range(kv_heads)]
    for of_query, of_key in [(slice(0, heads), slice(0, kv_heads))] if groups == 1 else shared:
        for start in range(0, queries, step):
            yield of_query, of_key, slice(start, min(start + step, queries))


def _bias(mask: Tensor | None, heads: slice, rows: slice, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask of one piece, with rows a multiple of 16 apart."""
    if mask is None:
        return None
    keys = key.shape[2]
    piece = mask[:, heads if mask.shape[1] > 1 else slice(0, 1), rows]
    aligned = pad(piece, (0, -keys % 16)).contiguous()[..., :keys]
    return aligned.expand(*query.shape[:3], keys)
