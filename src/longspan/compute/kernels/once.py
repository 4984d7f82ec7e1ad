"""Gradients that kernels compute and that nothing can differentiate again: whoever tries is refused."""

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from longspan.errors import RefusalError


class _Once(torch.autograd.Function):
    """The first `count` tensors, as functions of the others without a derivative."""

    @staticmethod
    def forward(ctx, refusal: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return them as they are."""
        ctx.refusal = refusal
        return tensors[:count]

    @staticmethod
    def backward(ctx, *grads: Tensor) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse."""
        raise RefusalError(ctx.refusal)


def once(refusal: str, found: Sequence[Tensor | None], of: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return gradients that a backward pass has found, so that it is refused to differentiate them.

    For a backward pass that records a graph of its own: PyTorch would take them for constants, and give a second
    derivative of zero.

    Arguments:
        refusal: says why, and what to do.
        of: what the gradients depend on.
    """
    some, given = ([x for x in tensors if x is not None] for tensors in (found, of))
    outs = iter(_Once.apply(refusal, len(some), *some, *given))  # pyright: ignore[reportArgumentType]
    return [None if x is None else next(outs) for x in found]
