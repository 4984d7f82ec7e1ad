"""The kernels as one differentiable operation."""

from typing import Any

import torch
from torch import Tensor

from longspan.compute.kernels.once import once
from longspan.compute.kernels.triton.launch import (
    Schedule,
    Work,
    attend,
    differentiate_keys,
    differentiate_queries,
    kind,
    maker,
    width,
)
from longspan.compute.kernels.triton.sizes import FORWARD, KEY_GRADIENT, QUERY_GRADIENT, Config, Sizes, chosen

NO_SECOND_DERIVATIVE = 'triton has no second derivative: use backend="blocks" or backend="reference"'


class FusedAttention(torch.autograd.Function):
    """Softmax attention over the keys that each row sees.

    Its arguments are the work, the rotated copies of queries and keys (copies, batch, heads, tokens, d), the values,
    the bias (heads, distances) or None, and the logit (heads) of a key without a value or None. It gives output
    (batch, heads, queries, value_dim) and log-sum-exp (batch, heads, queries), both differentiable; rows without keys
    are zero and −inf.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx, work: Work, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, logit: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the forward kernel."""
        (_, batch, heads, _, _), (_, kv_heads, keys, _) = query.shape, value.shape
        sizes = config(FORWARD, work, query, value)
        schedule = Schedule.of(work.seen, sizes, batch, heads, kv_heads, keys, query.device)
        out, lse = attend(work, schedule, query, key, value, bias, logit)
        ctx.save_for_backward(query, key, value, bias, logit, out, lse)
        ctx.work = work
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    def backward(ctx, grad: Tensor | None, lse_grad: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run the backward kernels."""
        saved = ctx.saved_tensors
        with torch.no_grad():
            found = FusedAttention._gradients(ctx, grad, lse_grad, *saved)
        if torch.is_grad_enabled():
            found = once(NO_SECOND_DERIVATIVE, found, (grad, lse_grad, *saved[:5]))
        return None, *found

    @staticmethod
    def _gradients(ctx, grad: Tensor | None, lse_grad: Tensor | None, *saved: Any) -> list[Tensor | None]:
        query, key, value, bias, logit, out, lse = saved
        grad = torch.zeros_like(out) if grad is None else grad
        delta = (grad.float() * out.float()).sum(-1)
        delta = delta if lse_grad is None else delta - lse_grad
        bias_grad = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[4] else None
        logit_grad = None
        if logit is not None and ctx.needs_input_grad[5]:
            logit_grad = -((logit[:, None] - lse).exp() * delta).sum((0, 2))
        rows = grad.contiguous(), lse, delta.contiguous()
        tensors, work = (query, key, value, bias), ctx.work
        of_queries, of_keys = (config(sizes, work, query, value) for sizes in (QUERY_GRADIENT, KEY_GRADIENT))
        query_grad = differentiate_queries(work, of_queries, *tensors, *rows, bias_grad)
        key_grad, value_grad = differentiate_keys(work, of_keys, *tensors, *rows)
        return [query_grad.to(query.dtype), key_grad.to(key.dtype), value_grad, bias_grad, logit_grad]


def config(sizes: Sizes, work: Work, query: Tensor, value: Tensor) -> Config:
    """The sizes of one kernel for these tensors."""
    return chosen(sizes, maker(), kind(work, query.dtype), width(max(query.shape[-1], value.shape[-1])))
