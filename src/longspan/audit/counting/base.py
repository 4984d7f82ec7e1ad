"""Whether a set of frequencies satisfies the bound on the base of RoPE, for lengths of any size.

    Σ_i cos(r f_i) ≥ 0        for every distance r = 0 … N−1

Here the frequencies are those that the model has, rescaled or not. `longspan.base_bound` searches the smallest base
exactly, in time that grows with the square of the length; steps of two percent serve longer texts.

Source: Men et al. 2024, "Base of RoPE Bounds Context Length", arXiv:2405.14591.
"""

from collections.abc import Sequence

import torch

from longspan.base_bound import smallest_theta
from longspan.slots import geometric

EXACT = 4096
"""The longest text for which the smallest base is searched exactly, tokens."""
STEP = 1.02
"""Factor between two bases of the coarse search."""
NEAR = 1.03
"""How far beyond the last failure is looked at first, as a factor: a failure moves as the base does, at most."""
BLOCK = 8192
"""Distances that are computed at once."""


def first_negative(frequencies: Sequence[float] | torch.Tensor, length: int, start: int = 0) -> int | None:
    """The shortest distance, from `start` to length − 1, at which a similar key scores worse than a random one.

    >>> first_negative(geometric(10000, 128), 4096)
    1707
    """
    spectrum = torch.as_tensor(frequencies, dtype=torch.float64)
    for begin in range(start, length, BLOCK):
        distances = torch.arange(begin, min(begin + BLOCK, length), dtype=torch.float64)
        below = (torch.outer(distances, spectrum).cos().sum(1) < 0).nonzero()
        if len(below):
            return begin + int(below[0])
    return None


def smallest_base(length: int, rotary_dim: int) -> int | None:
    """The smallest base that satisfies the bound: exact up to `EXACT` tokens.

    Beyond, it is the first of a ladder of bases. Around the bound, good and bad bases alternate, so that a narrow
    island of good ones may lie below it. None for a single pair, which satisfies the bound with no base.
    """
    if rotary_dim < 4:
        return None
    if length <= EXACT:
        return smallest_theta(max(length, 1), rotary_dim)
    theta, negative = float(length), 0
    while True:
        spectrum = geometric(theta, rotary_dim)
        # Near the distance that failed before, most bases fail again: a short look saves a long one.
        again = first_negative(spectrum, min(length, round(NEAR * negative) + 1), negative) if negative else None
        failed = first_negative(spectrum, length) if again is None else again
        if failed is None:
            return round(theta)
        theta, negative = theta * STEP, failed
