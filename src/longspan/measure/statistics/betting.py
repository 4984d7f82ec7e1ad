"""Bounds on a mean that hold however often one looks: a bettor against "the mean is at most m" grows rich if it is not.

A bettor starts with wealth 1 and stakes a fraction f of it on each value x of [low, high]:

    wealth(n) = ∏ (1 + f · (x_i − m) / (m − low))        never negative; its mean never grows while E x ≤ m

so that it exceeds 1/α at any time with probability α at most (Ville's inequality), and no plan for when to stop looking
is needed. Several fractions share the first unit of wealth, because the best one is not known beforehand. Values must
come from independent documents, in an order that does not depend on them.

Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS-B 86:1, sections 3
and 4; Ville 1939; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", AoS 49:2.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil, log
from sys import float_info

import numpy as np

from longspan.errors import InputError

FRACTIONS = (np.arange(24) + 0.5) / 24
"""Fractions of wealth that are staked, each with an equal share of the first unit."""

PRECISION = 1e-9
"""How closely a bound is located, as a share of the range of the values."""


def evidence(values: Sequence[float], mean: float, low: float, high: float) -> float:
    """The largest wealth so far of a bettor against "the mean is at most `mean`": 1/α refutes it at level 1 − α.

    >>> evidence([1.0] * 10, mean=0.5, low=0.0, high=1.0) > 20
    True

    Errors: InputError for a value outside [low, high].
    """
    return float(np.exp(min(_log_wealth(values, mean, low, high).max(initial=0.0), 700.0)))


def lower_bound(values: Sequence[float], low: float, high: float, level: float = 0.95) -> float:
    """The largest number that the mean exceeds, at this level, at all times together.

    >>> round(lower_bound([1.0] * 20, 0.0, 1.0), 2)
    0.8
    """
    wanted = -log(1 - level)
    below, above = low, high
    while above - below > PRECISION * (high - low):
        middle = (below + above) / 2
        if _log_wealth(values, middle, low, high).max(initial=0.0) >= wanted:
            below = middle
        else:
            above = middle
    return below


def upper_bound(values: Sequence[float], low: float, high: float, level: float = 0.95) -> float:
    """The smallest number that the mean stays below, at this level, at all times together."""
    return -lower_bound([-value for value in values], -high, -low, level)


def values_needed(values: Sequence[float], mean: float, low: float, high: float, level: float = 0.95) -> int | None:
    """About how many values like these refute "the mean is at most `mean`"; None where no number of them would.

    Exact where all values are equal; else as if every value had the mean rate of growth of these.
    """
    if not len(values):
        return None
    wanted, rates = -log(1 - level), np.log1p(_stakes(values, mean, low, high)).mean(0)
    best = float(rates.max())
    if best <= 0:
        return None
    # The best fraction alone reaches that wealth by then; before, wealth crosses it once, as it is convex in their
    # number.
    most = ceil((wanted + log(len(FRACTIONS))) / best)
    return 1 + bisect_left(range(1, most), wanted, key=lambda count: _log_mean_exp(count * rates))


def _log_wealth(values: Sequence[float], mean: float, low: float, high: float) -> np.ndarray:
    """Natural log of the wealth after each value."""
    if not len(values):
        return np.zeros(0)
    with np.errstate(divide="ignore"):  # all is lost where a fraction of 1 meets the lowest value
        paths = np.log1p(_stakes(values, mean, low, high)).cumsum(0)
    return _log_mean_exp(paths)


def _log_mean_exp(paths: np.ndarray) -> np.ndarray:
    """ln of the mean of e^path over the last axis."""
    top = paths.max(-1, keepdims=True)
    return (top + np.log(np.exp(paths - top).mean(-1, keepdims=True)))[..., 0]


def _stakes(values: Sequence[float], mean: float, low: float, high: float) -> np.ndarray:
    """What each value adds to a unit of wealth, for every fraction: (values, fractions)."""
    found = np.asarray(values, dtype=np.float64)
    if not ((low <= found) & (found <= high)).all():
        raise InputError(f"values must lie in [{low:g}, {high:g}], got {found.min():g} … {found.max():g}")
    if mean <= low:
        return np.where(found[:, None] > low, float_info.max, 0.0) * FRACTIONS
    return FRACTIONS * (found[:, None] - mean) / (mean - low)
