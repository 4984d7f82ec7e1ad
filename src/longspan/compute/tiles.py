"""Exact attention at the price of plain causal attention: a union of flash calls merged by log-sum-exp.

The backward pass gives each tile its own flash backward with the *global* output and log-sum-exp, which is exact; it
cuts bands into triangles, where the forward pass prefers masked strips.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.flash import flash, flash_backward
from longspan.compute.lowering import Lowering, Tile

FORWARD_STRIP = {torch.float32: 256, torch.float64: 256, torch.bfloat16: 512, torch.float16: 512}


class TiledAttention(torch.autograd.Function):
    """Softmax attention over a lowering's tiles.

    Inputs after the plans: scale, value (batch, kv_heads, keys, d), then for each view its queries and keys, of the
    view's own rows and keys. Gives the output (batch, heads, queries, d) and the log-sum-exp (batch, heads, queries);
    rows that no tile covers get zeros and −inf. The log-sum-exp carries no gradient.
    """

    @staticmethod
    def forward(ctx, plan: Lowering, back: Lowering, scale: float, value: Tensor, *turned: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the tiles and merge them."""
        query = turned[0]
        shape = (*query.shape[:2], plan.span.queries)
        dense = len(plan.tiles) and _covers(plan)
        out = query.new_empty(*shape, value.shape[-1]) if dense else query.new_zeros(*shape, value.shape[-1])
        lse = torch.full(shape, -float("inf"), dtype=torch.promote_types(query.dtype, torch.float32))
        for tile in plan.tiles:
            for b in _batches(tile, len(query)):
                q, k, v = _inputs(tile, plan, turned, value, b)
                part, part_lse = _run(tile, q, k, v, scale)
                _merge(tile, _blocks(out[b], tile, 0), _blocks(lse[b], tile, 0), part, part_lse)
        ctx.save_for_backward(value, out, lse, *turned)
        ctx.plan, ctx.scale = back, scale
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx, grad: Tensor, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Each tile's flash backward with the whole row's output and log-sum-exp, summed in float32 at least."""
        value, out, lse, *turned = ctx.saved_tensors
        grad = grad.contiguous()
        sums = [torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32)) for x in (value, *turned)]
        for tile in ctx.plan.tiles:
            for b in _batches(tile, len(value)):
                q, k, v = _inputs(tile, ctx.plan, turned, value, b)
                rows = (_blocks(x[b], tile, 0) for x in (grad, out, lse))
                dq, dk, dv = _run_backward(tile, q, k, v, *rows, ctx.scale)
                into = _inputs(tile, ctx.plan, sums[1:], sums[0], b)
                for target, gradient in zip(into, (dq, dk, dv), strict=True):
                    _add(target, gradient)
        return None, None, None, *(x.to(value.dtype) for x in sums)


def _covers(plan: Lowering) -> bool:
    rows = torch.zeros(plan.span.queries, dtype=torch.bool)
    for tile in plan.tiles:
        for t in range(tile.count):
            rows[tile.row + t * tile.step : tile.row + t * tile.step + tile.rows] = True
    return bool(rows.all())


def _batches(tile: Tile, batch: int) -> range | list[slice]:
    """One call for the whole batch; where the tile's blocks take the batch dimension, one call per row of the batch."""
    return [slice(0, batch)] if tile.count == 1 else [slice(b, b + 1) for b in range(batch)]


def _inputs(tile: Tile, plan: Lowering, turned, value: Tensor, b: slice) -> tuple[Tensor, Tensor, Tensor]:
    """The tile's queries, keys and values: views, never copies."""
    view = plan.views[tile.view]
    query, key = turned[2 * tile.view], turned[2 * tile.view + 1]
    return (
        _cut(query[b], tile.row - view.rows[0], tile.rows, tile),
        _cut(key[b], tile.key - view.keys[0], tile.keys, tile),
        _cut(value[b], tile.key, tile.keys, tile),
    )


def _blocks(x: Tensor, tile: Tile, first: int) -> Tensor:
    return _cut(x, tile.row - first, tile.rows, tile)


def _cut(x: Tensor, start: int, size: int, tile: Tile) -> Tensor:
    """Places start … start + size of dimension 2, or `count` such blocks, a step apart, as the batch."""
    if tile.count == 1:
        return x.narrow(2, start, size)
    stride = x.stride()
    return x.as_strided(
        (tile.count, x.shape[1], size, *x.shape[3:]),
        (tile.step * stride[2], stride[1], stride[2], *stride[3:]),
        x.storage_offset() + start * stride[2],
    )


def _run(tile: Tile, q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    if tile.shape == "anticausal":
        out, lse = flash(q.flip(2), k.flip(2), v.flip(2), scale, causal=True)
        return out.flip(2), lse.flip(2)
    return flash(q, k, v, scale, tile.shape == "causal", _mask(tile, q))


def _run_backward(tile: Tile, q, k, v, grad, out, lse, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    if tile.shape == "anticausal":
        reverse = [x.flip(2) for x in (grad, q, k, v, out, lse)]
        dq, dk, dv = flash_backward(*reverse, scale, causal=True)
        return dq.flip(2), dk.flip(2), dv.flip(2)
    return flash_backward(grad, q, k, v, out, lse, scale, tile.shape == "causal", _mask(tile, q))


def _mask(tile: Tile, q: Tensor) -> Tensor | None:
    if tile.shape != "band":
        return None
    return _corners(tile.rows, tile.keys, tile.width, torch.promote_types(q.dtype, torch.float32))


@lru_cache(maxsize=16)
def _corners(rows: int, keys: int, width: int, dtype: torch.dtype) -> Float[Tensor, "1 1 rows keys"]:
    """0 where row t sees key j, that is t ≤ j < t + width; −inf elsewhere."""
    ahead = torch.arange(keys)[None] - torch.arange(rows)[:, None]
    return torch.where((ahead >= 0) & (ahead < width), 0.0, -float("inf")).to(dtype)[None, None]


def _merge(tile: Tile, out: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor) -> None:
    """Weight what is there and what is new by their shares of the row's sum."""
    if tile.fresh:
        out.copy_(part)
        lse.copy_(part_lse)
        return
    total = torch.logaddexp(lse, part_lse)
    share = (part_lse - total).exp_()[..., None]
    if out.dtype == share.dtype:
        out.lerp_(part, share)
    else:
        out.copy_(torch.lerp(out.to(share.dtype), part.to(share.dtype), share))
    lse.copy_(total)


def _add(target: Tensor, gradient: Tensor) -> None:
    """Add gradients of blocks; blocks of keys may overlap, so they are added one by one."""
    if target.ndim == 4 and target.shape[0] > 1 and target.stride(0) < target.shape[2] * target.stride(2):
        for block, part in zip(target, gradient, strict=True):
            block.add_(part)
    else:
        target.add_(gradient)
