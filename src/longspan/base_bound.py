"""The base that RoPE needs for a length: below the bound, similar keys can score worse than random ones.

    f_b(r) = Σ_i cos(r · b^(−2i/d))        i = 0 … d/2−1;  wanted: f_b(r) ≥ 0 for every distance r = 0 … L−1

The score of a key that resembles the query exceeds that of a random key, on average, by an amount in proportion to f_b.

Source: Men et al. 2024, "Base of RoPE Bounds Context Length", arXiv:2405.14591; Su 2024, "Transformer upgrade road 18:
how to choose the base of RoPE", kexue.fm/archives/10122.

The bases that suffice are *not* a half-line: around the bound, sufficient and insufficient ones alternate many times,
so that bisection finds any of the crossings. Both searches here walk through all bases, in steps within which none can
change from one kind to the other: where
ln b moves by t, f_b(r) moves by at most t · Σ_i (2i/d) · min(y_i, y_i²) with y_i = r · b^(−2i/d). They are exact on
whole-number bases, and take seconds for a few thousand tokens; the time grows with the square of the length.
"""

from math import ceil, exp, floor

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.errors import SchemeError
from longspan.slots import geometric

LARGEST_STEP = 0.1
"""How far ln b may decrease in one step: slopes grow on the way and are bounded at its end."""


def similarity(theta: float, length: int, rotary_dim: int) -> Float64[Tensor, " length"]:
    """Return f(r) for r = 0 … length − 1; the number of pairs at r = 0.

    >>> similarity(10000, 1, 128).tolist()
    [64.0]
    """
    return _similarity_and_slope(theta, length, rotary_dim)[0]


def first_negative(theta: float, length: int, rotary_dim: int) -> int | None:
    """Return the shortest distance below `length` at which a similar key can score worse than a random one, or None.

    >>> first_negative(10000, 4096, 128)
    1707
    """
    below = (similarity(theta, length, rotary_dim) < 0).nonzero()
    return int(below[0]) if len(below) else None


def smallest_theta(length: int, rotary_dim: int) -> int:
    """Return the smallest whole-number base that is large enough for a length; larger ones may again be too small.

    Errors: SchemeError where rotary_dim is not even or below 4.
    """
    _check(rotary_dim)
    theta = 2
    while True:
        similar, slope = _similarity_and_slope(theta, length, rotary_dim)
        negative = similar < 0
        if not negative.any():
            return theta
        certain = float((-similar[negative] / slope[negative]).max())
        theta = max(theta + 1, ceil(theta * exp(certain)))


def safe_theta(length: int, rotary_dim: int, horizon: float = 2000) -> int:
    """Return the smallest whole-number base from which on all are large enough, up to `horizon` times the length.

    Errors: SchemeError where rotary_dim is not even or below 4, or where the horizon itself is too small a base.
    """
    _check(rotary_dim)
    start = theta = floor(horizon * length)
    while theta > 1:
        similar, slope = _similarity_and_slope(theta, length, rotary_dim, LARGEST_STEP)
        if (similar < 0).any():
            break
        certain = min([LARGEST_STEP, *(similar[1:] / slope[1:]).tolist()])
        theta = min(theta - 1, floor(theta * exp(-certain)))
    if theta == start:
        raise SchemeError(f"base {start} is too small for {length} tokens: raise horizon, now {horizon}")
    return max(theta + 1, 2)


def _similarity_and_slope(
    theta: float, length: int, rotary_dim: int, below: float = 0.0
) -> tuple[Float64[Tensor, " length"], Float64[Tensor, " length"]]:
    """f(r), and a bound on how fast it moves with ln b for all bases down to `below` less in ln b."""
    angle = torch.outer(torch.arange(length, dtype=torch.float64), geometric(theta, rotary_dim))
    rank = torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim
    largest = angle * (below * rank).exp()
    return angle.cos().sum(1), (rank * torch.minimum(largest, largest.square())).sum(1)


def _check(rotary_dim: int) -> None:
    if rotary_dim < 4 or rotary_dim % 2:
        raise SchemeError(
            f"rotary_dim must be even and at least 4, got {rotary_dim}: a single pair "
            "is negative at some distance whatever its base"
        )
