"""An associative scan: all states of a diagonal linear recurrence, in a number of steps that grows as log n.

    h_t = a_t · h_{t−1} + b_t        (a, b) ∘ (a', b') = (a'a, a'b + b')

The recursion combines neighbors, scans half as many pairs, and fills in the rest, so that all its products are of
given numbers: nothing is divided, and a decay of zero resets the state exactly.

Source: Blelloch 1990, "Prefix Sums and Their Applications", CMU-CS-90-190; Martin and Cundy 2018, "Parallelizing Linear
Recurrent Neural Nets Over Sequence Length", arXiv:1709.04057.
"""

from typing import Any

import torch
from torch import Tensor

from longspan.errors import ShapeError


def associative_scan(decay: Tensor, values: Tensor, state: Tensor | None = None) -> Tensor:
    """Return h_t = decay_t · h_{t−1} + values_t for all t ≥ 0, real or complex.

    Arguments:
        decay, values: (batch, tokens, …), of one shape after broadcasting.
        state: (batch, …), h_{−1}; None for zero.

    Errors: ShapeError for tensors that do not fit.
    """
    try:
        decay, values = torch.broadcast_tensors(decay, values)
    except RuntimeError:
        raise ShapeError(
            f"decay and values of a scan must broadcast, got {tuple(decay.shape)} and {tuple(values.shape)}"
        ) from None
    if values.ndim < 2:
        raise ShapeError(f"a scan takes (batch, tokens, …), got {tuple(values.shape)}")
    if state is not None and values.shape[1]:
        first = values[:, :1] + decay[:, :1] * state[:, None]
        values = torch.cat([first, values[:, 1:]], 1)
    return _Scan.apply(decay, values)


def _scanned(decay: Tensor, values: Tensor) -> Tensor:
    tokens = values.shape[1]
    if tokens < 2:
        return values
    even, odd = slice(0, tokens - 1, 2), slice(1, tokens, 2)
    pairs = _scanned(decay[:, even] * decay[:, odd], torch.addcmul(values[:, odd], decay[:, odd], values[:, even]))
    states = torch.empty_like(values)
    states[:, odd], states[:, 0] = pairs, values[:, 0]
    later = slice(2, tokens, 2)
    before = pairs[:, : (tokens - 1) // 2]
    states[:, later] = torch.addcmul(values[:, later], decay[:, later], before)
    return states


class _Scan(torch.autograd.Function):
    """The gradient of a scan is a scan from the end: g_t = grad_t + conj(a_{t+1}) · g_{t+1}."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, values: Tensor) -> Tensor:
        """Compute the states, and keep them for the way back."""
        states = _scanned(decay, values.to(torch.promote_types(decay.dtype, values.dtype)))
        ctx.save_for_backward(decay, states)
        ctx.values_dtype = values.dtype
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Scan the gradients from the end; another derivative may follow."""
        decay, states = ctx.saved_tensors
        gradient = gradients[0]
        later = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], 1).conj()
        through = _Scan.apply(later.flip(1), gradient.flip(1)).flip(1)
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
        return _like(through * before.conj(), decay.dtype), _like(through, ctx.values_dtype)


def _like(gradient: Tensor, dtype: torch.dtype) -> Tensor:
    """The gradient of a real number is real."""
    return gradient.to(dtype) if dtype.is_complex else gradient.real.to(dtype) if gradient.is_complex() else gradient
