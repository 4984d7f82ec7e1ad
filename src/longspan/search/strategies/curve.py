"""Curve: seven numbers that say by which factor each channel pair slows down; published rescalings are points of it.

    λ_i = 1 / ((1 − r_i) + r_i · e^(−A(x_i)))           θ'_i = θ_i / λ_i;  gain g on q and on k

    r_i = (i − low) / width, clipped to [0, 1]           pairs up to `low` stay, those from low + width on get all of A
    A   piecewise linear and never falling               ln of the full factor; knots at x = 0, 1/3, 2/3, 1
    x_i = i / (pairs − 1)                                where the pair lies on the axis of log frequency

λ never falls from a pair to the next slower one, and 1 ≤ λ ≤ e^A(1). Points of it, to the last digit:

    linear     r = 1, A = ln s                 yarn      r of its ramp over i, A = ln s, g its gain
    ntk        r = 1, A(x) = A(0) + x · (A(1) − A(0)); "aware" has A(0) = 0 and A(1) = ln s

Source: the search for one factor per pair that never falls: Ding et al. 2024, "LongRoPE", arXiv:2402.13753.
Differs from the paper: seven numbers in place of one per pair; its start tokens that stay unscaled are not here.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log

import numpy as np

from longspan.errors import SchemeError
from longspan.rotation.linear import Linear
from longspan.rotation.ntk import NTK
from longspan.rotation.yarn import YaRN
from longspan.slots import RotaryEmbedding

KNOTS = 4
"""Places at which ln of the full factor is given."""

STEEPEST = 1e-3
"""The least width of the ramp, pairs: a step, as in YaRN's released code."""


@dataclass(frozen=True)
class Curve:
    """Factors of all pairs, and the gain.

    Arguments:
        low: the index, with fractions, of the last pair that stays; −1 where none does.
        width: pairs from there to the first that slows down fully.
        logs: A at the knots, nats; at least 0 and never falling.
        gain: factor on rotated queries and on rotated keys.

    Errors: SchemeError for numbers out of range.

    >>> Curve(low=-1, width=1, logs=(0.0, 0.0, 0.0, 0.0), gain=1.0).factors(3)
    (1.0, 1.0, 1.0)
    """

    low: float
    width: float
    logs: tuple[float, ...]
    gain: float

    def __post_init__(self) -> None:
        if len(self.logs) != KNOTS or self.logs[0] < 0 or any(after < before for before, after in pairwise(self.logs)):
            raise SchemeError(f"a curve needs {KNOTS} logs that are at least 0 and never fall, got {self.logs}")
        if not self.width > 0:
            raise SchemeError(f"the width of a curve's ramp must be above 0 pairs, got {self.width}")

    def factors(self, pairs: int) -> tuple[float, ...]:
        """Return λ of each of the pairs that rotate, the fastest first."""
        index = np.arange(pairs, dtype=np.float64)
        ramp = np.clip((index - self.low) / self.width, 0.0, 1.0)
        full = np.interp(index / max(pairs - 1, 1), np.linspace(0.0, 1.0, KNOTS), self.logs)
        return tuple((1.0 / ((1.0 - ramp) + ramp * np.exp(-full))).tolist())

    @classmethod
    def of(cls, rotation: RotaryEmbedding, rotary_dim: int) -> "Curve":
        """Return the curve whose factors and gain are those of a published rescaling, all of its fields filled.

        Arguments:
            rotary_dim: channels that rotate or could.

        Errors: SchemeError for a rotation that is no point of this family.
        """
        match rotation:
            case Linear():
                return cls(-1.0, 1.0, _straight(log(rotation.known(rotation.factor, "factor")), 0.0), 1.0)
            case NTK():
                factor, pairs = rotation.known(rotation.factor, "factor"), max(rotation.rotating(rotary_dim), 1)
                first = {"aware": 0.0, "base": 0.0, "fixed": 1 / pairs}[rotation.variant]
                last = {"aware": 1.0, "base": (pairs - 1) / pairs, "fixed": 1.0}[rotation.variant]
                return cls(-1.0, 1.0, _straight(first * log(factor), (last - first) * log(factor)), 1.0)
            case YaRN() if rotation.ramp != "turns":
                low, high = rotation.ends(rotary_dim)
                full = log(rotation.known(rotation.factor, "factor"))
                return cls(low, high - low or STEEPEST, _straight(full, 0.0), rotation.gain)
        raise SchemeError(f"{rotation.name} is no point of the family of curves: give linear, ntk or yarn")


def _straight(first: float, rise: float) -> tuple[float, ...]:
    """Return A at the knots of a straight line."""
    return tuple(first + rise * knot / (KNOTS - 1) for knot in range(KNOTS))


@dataclass(frozen=True)
class Space:
    """The unit cube of all curves for one model and length.

    Every point of it is a curve with 1 ≤ λ ≤ 2N/L: untrained, NTK reads to about half of its factor. The gain lies
    between 1 and twice that of YaRN at 2N/L.

    Arguments:
        pairs: channel pairs that rotate.
        stretch: N/L, above 1.
    """

    pairs: int
    stretch: float

    @property
    def size(self) -> int:
        """How many numbers a point has."""
        return KNOTS + 3

    @property
    def highest(self) -> float:
        """The largest A."""
        return log(2 * self.stretch)

    def curve(self, point: np.ndarray) -> Curve:
        """Return the curve of a point, one number of [0, 1] for each of low, width, the logs and the gain."""
        low, width, *rises, gain = (float(value) for value in np.clip(point, 0.0, 1.0))
        logs, before = [], 0.0
        for rise in rises:
            before = min(before + rise * (self.highest - before), self.highest)
            logs.append(before)
        width = max(width * self.widest, STEEPEST)
        return Curve(low * (self.pairs + 1) - 1, width, tuple(logs), 1 + gain * self.highest / 5)

    def point(self, curve: Curve) -> np.ndarray:
        """Return the point of a curve; what lies outside of the cube is moved to its border."""
        before, rises = 0.0, []
        for after in curve.logs:
            room = self.highest - before
            rises.append((after - before) / room if room > 0 else 0.0)
            before = after
        low, width = (curve.low + 1) / (self.pairs + 1), curve.width / self.widest
        found = [low, width, *rises, (curve.gain - 1) * 5 / self.highest]
        return np.clip(np.array(found), 0.0, 1.0)

    @property
    def widest(self) -> float:
        """The widest ramp, pairs: YaRN's may end behind the last pair."""
        return 2.0 * self.pairs
