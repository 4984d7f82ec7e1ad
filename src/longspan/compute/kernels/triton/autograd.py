"""The kernels as one differentiable operation."""

import torch
from torch import Tensor

from longspan.compute.kernels.triton.launch import Work, attend, forward_config, width


class FusedAttention(torch.autograd.Function):
    """Softmax attention over the keys that each row sees.

    Its arguments are the work, the rotated copies of queries and keys (copies, batch, heads, tokens, d), the values,
    the bias (heads, distances) or None, and the logit (heads) of a key without a value or None. It gives output
    (batch, heads, queries, value_dim) and log-sum-exp (batch, heads, queries).
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx, work: Work, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, logit: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run the kernel."""
        config = forward_config(width(max(query.shape[-1], value.shape[-1])), query.itemsize)
        return attend(work, config, query, key, value, bias, logit)

    @staticmethod
    def backward(ctx, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse."""
        raise NotImplementedError
