"""Exact attention at the cost of plain causal attention: flash calls, merged by log-sum-exp.

The backward pass calls each tile's flash backward with the *global* output and log-sum-exp, which is exact; it cuts
bands into triangles, where the forward pass prefers masked strips.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.kernels.kernel import Kernel
from longspan.compute.kernels.once import once
from longspan.compute.tiling import toeplitz
from longspan.compute.tiling.lowering import Lowering, Span, Tile
from longspan.compute.tiling.toeplitz import Operands, Rows
from longspan.memo import remember

NO_SECOND_DERIVATIVE = 'tiles have no second derivative: use backend="blocks" or backend="reference"'


class TiledAttention(torch.autograd.Function):
    """Softmax attention over a lowering's tiles.

    Its arguments are the kernel, the lowerings of both passes, the scale, the values (batch, kv_heads, keys, d), the
    bias per diagonal (heads, diagonals) or None, the logit (heads) of a key without value or None, then for each view
    its rotated queries and keys, of the view's own rows and keys. It gives the output (batch, heads, queries, d) and
    the log-sum-exp (batch, heads, queries), both differentiable; rows that no tile covers are zero and −inf.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx,
        kernel: Kernel,
        plan: Lowering,
        back: Lowering,
        scale: float,
        value: Tensor,
        diagonal: Tensor | None,
        logit: Tensor | None,
        *rotated: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Run the tiles and merge them."""
        out, lse = _run(kernel, plan, scale, value, diagonal, rotated)
        if logit is not None:
            total = torch.logaddexp(lse, logit[:, None].to(lse.dtype))
            out.mul_((lse - total).exp_()[..., None].to(out.dtype))
            lse = total
        ctx.save_for_backward(value, diagonal, logit, out, lse, *rotated)
        ctx.kernel, ctx.plan, ctx.scale = kernel, back, scale
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    def backward(ctx, grad: Tensor | None, lse_grad: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Each tile's flash backward with the whole row's output and log-sum-exp, summed in float32 at least."""
        value, diagonal, logit, out, lse, *rotated = ctx.saved_tensors
        sums = [torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32)) for x in (value, *rotated)]
        diagonal_sum = torch.zeros_like(diagonal) if diagonal is not None and ctx.needs_input_grad[5] else None
        logit_grad = torch.zeros_like(logit) if logit is not None and ctx.needs_input_grad[6] else None
        for seen, grad_, out_ in _passes(grad, lse_grad, value, out):
            with torch.no_grad():
                for tile in ctx.plan.tiles:
                    for b in _batches(tile, len(value)):
                        operands = _operands(tile, ctx.plan, rotated, seen, b)
                        rows = Rows(*(_cut(x[b], tile.row, tile.rows, tile) for x in (grad_, out_, lse)))
                        into = _operands(tile, ctx.plan, sums[1:], sums[0], b)
                        found = _tile_backward(ctx.kernel, tile, ctx.plan.span, operands, rows, ctx.scale, diagonal)
                        _add(into[0], found[0])
                        _add(into[1], found[1])
                        if seen is value:
                            _add(into[2], found[2])
                        if diagonal is not None and diagonal_sum is not None:
                            toeplitz.add_gradient(
                                diagonal_sum, tile, ctx.plan.span, operands, rows, ctx.scale, diagonal
                            )
            if logit is not None and logit_grad is not None:
                share = (logit[:, None].to(lse.dtype) - lse).exp()
                logit_grad -= (share * (grad_.to(lse.dtype) * out_).sum(-1)).sum((0, 2)).to(logit.dtype)
        grads = [*(x.to(value.dtype) for x in sums), diagonal_sum]
        if torch.is_grad_enabled():
            grads = once(NO_SECOND_DERIVATIVE, grads, (grad, lse_grad, value, diagonal, logit, *rotated))
        of_value, *of_rotated, of_diagonal = grads
        return None, None, None, None, of_value, of_diagonal, logit_grad, *of_rotated


def _passes(
    grad: Tensor | None, lse_grad: Tensor | None, value: Tensor, out: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Values, gradient and output to call the kernels' backward with.

    Kernels compute dS = P ∘ (grad · v − grad · out) without the gradient λ of the log-sum-exp, which adds P λ. They add
    it if their output is replaced by any out' with grad · out' = grad · out − λ; the nearest one is shifted along the
    gradient. Where a gradient is too small for that, a second pass has values of zero and a gradient of one channel.
    """
    if grad is not None and lse_grad is None:
        yield value, grad.contiguous(), out
    if lse_grad is None:
        return
    if grad is not None:
        length = torch.linalg.vector_norm(grad, dim=-1, dtype=lse_grad.dtype)
        shift = torch.where(lse_grad == 0, 0.0, lse_grad / length)
        if bool(shift.abs().max() < torch.finfo(out.dtype).max / 16):
            along = torch.where(shift == 0, 0.0, shift / length)[..., None] * grad
            yield value, grad.contiguous(), (out - along).to(out.dtype)
            return
        yield value, grad.contiguous(), out
    channel = torch.zeros_like(out)
    channel[..., 0] = 1.0
    nothing = torch.zeros_like(value)
    yield nothing, channel, channel * -lse_grad[..., None].to(out.dtype)


def _run(
    kernel: Kernel, plan: Lowering, scale: float, value: Tensor, diagonal: Tensor | None, rotated
) -> tuple[Tensor, Tensor]:
    batch, heads = rotated[0].shape[:2]
    # Laid out as the kernel's own output: rows of all heads side by side.
    out = value.new_empty(batch, plan.span.queries, heads, value.shape[-1]).transpose(1, 2)
    dtype = torch.promote_types(value.dtype, torch.float32)
    lse = value.new_empty(batch, plan.span.queries, heads, dtype=dtype).transpose(1, 2)
    if not plan.complete:
        out.zero_()
        lse.fill_(-float("inf"))
    for tile in plan.tiles:
        for b in _batches(tile, len(value)):
            operands = _operands(tile, plan, rotated, value, b)
            part, part_lse = _tile_forward(kernel, tile, plan, operands, scale, diagonal)
            out_rows, lse_rows = (_cut(x[b], tile.row, tile.rows, tile) for x in (out, lse))
            _merge(out_rows, lse_rows, part, part_lse, fresh=tile.fresh)
    return out, lse


def _batches(tile: Tile, batch: int) -> list[slice]:
    """One call for the whole batch, or, where the tile's blocks take the batch dimension, one call per row of it."""
    return [slice(0, batch)] if tile.count == 1 else [slice(b, b + 1) for b in range(batch)]


def _operands(tile: Tile, plan: Lowering, rotated, value: Tensor, b: slice) -> Operands:
    """The tile's queries, keys and values: views, never copies."""
    view = plan.views[tile.view]
    query, key = rotated[2 * tile.view], rotated[2 * tile.view + 1]
    return (
        _cut(query[b], tile.row - view.rows[0], tile.rows, tile),
        _cut(key[b], tile.key - view.keys[0], tile.keys, tile),
        _cut(value[b], tile.key, tile.keys, tile),
    )


def _cut(x: Tensor, start: int, size: int, tile: Tile) -> Tensor:
    """Tokens start … start + size − 1, or `count` such blocks, a step apart, as the batch: a view."""
    if tile.count == 1:
        return x.narrow(2, start, size)
    stride = x.stride()
    return x.as_strided(
        (tile.count, x.shape[1], size, *x.shape[3:]),
        (tile.step * stride[2], stride[1], stride[2], *stride[3:]),
        x.storage_offset() + start * stride[2],
    )


def _tile_forward(
    kernel: Kernel, tile: Tile, plan: Lowering, operands: Operands, scale: float, diagonal: Tensor | None
) -> tuple[Tensor, Tensor]:
    q, k, v = operands
    if tile.shape == "anticausal":
        out, lse = (x.flip(2) for x in kernel.forward(q.flip(2), k.flip(2), v.flip(2), scale, True))
    elif diagonal is not None:
        far, value = (k.flip(2), v.flip(2)) if toeplitz.reverses(tile) else (k, v)
        out, lse = kernel.forward(q, far, value, scale, False, toeplitz.mask(tile, plan.span, diagonal))
    else:
        out, lse = kernel.forward(q, k, v, scale, tile.shape == "causal", _mask(kernel, tile, q))
    if k.shape[2] < kernel.VECTOR:  # shows a NaN that the kernel may hide, in more rows than see it
        hidden = k.sum((2, 3), dtype=lse.dtype).repeat_interleave(q.shape[1] // k.shape[1], 1)[..., None] * 0.0
        if tile.fresh or not plan.complete:  # otherwise another tile shows the queries of these rows
            hidden = hidden + q.sum(-1, dtype=lse.dtype) * 0.0
        out, lse = out + hidden[..., None].to(out.dtype), lse + hidden
    return out, lse


def _tile_backward(
    kernel: Kernel, tile: Tile, span: Span, operands: Operands, rows: Rows, scale: float, diagonal: Tensor | None
) -> Operands:
    (q, k, v), (grad, out, lse) = operands, rows
    if tile.shape == "anticausal":
        grad, q, k, v, out, lse = (x.flip(2) for x in (grad, q, k, v, out, lse))
        dq, dk, dv = kernel.backward(grad, q, k, v, out, lse, scale, True)
        return dq.flip(2), dk.flip(2), dv.flip(2)
    mask = _mask(kernel, tile, q) if diagonal is None else toeplitz.mask(tile, span, diagonal)
    if diagonal is not None and toeplitz.reverses(tile):
        dq, dk, dv = kernel.backward(grad, q, k.flip(2), v.flip(2), out, lse, scale, False, mask)
        return dq, dk.flip(2), dv.flip(2)
    return kernel.backward(grad, q, k, v, out, lse, scale, tile.shape == "causal", mask)


def _mask(kernel: Kernel, tile: Tile, q: Tensor) -> Tensor | None:
    if tile.shape != "band":
        return None
    return _corners(tile.rows, tile.keys, tile.low, tile.high, kernel.mask_dtype(q.dtype), q.device)


@remember(16)
def _corners(
    rows: int, keys: int, low: int, high: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "1 1 rows keys"]:
    """0 where row t sees key j, that is low ≤ j − t < high; −inf elsewhere."""
    ahead = torch.arange(keys, device=device)[None] - torch.arange(rows, device=device)[:, None]
    return torch.where((ahead >= low) & (ahead < high), 0.0, -float("inf")).to(dtype)[None, None]


def _merge(out: Tensor, lse: Tensor, part: Tensor, part_lse: Tensor, fresh: bool) -> None:
    """Merge a tile's rows into the output, each weighted by its share of the row's sum."""
    if fresh:
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
    """Add gradients of blocks, one by one where blocks of keys overlap."""
    if target.shape[0] > 1 and target.stride(0) < target.shape[2] * target.stride(2):
        for block, part in zip(target, gradient, strict=True):
            block.add_(part)
    else:
        target.add_(gradient)
