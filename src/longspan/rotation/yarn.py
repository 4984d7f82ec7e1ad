"""YaRN: NTK-by-parts, and a temperature that makes attention sharper the longer the text.

    θ'_i = γ_i θ_i + (1 − γ_i) θ_i / s               gain on q and on k: 0.1 ln s + 1

    γ_i = 1 − (i − low) / (high − low)               ramp "index", clipped to [0, 1]
          low = ⌊c(fast)⌋, high = ⌈c(slow)⌉,         c(t) = d ln(L / 2πt) / (2 ln b): the pair that turns t times in L
    γ_i = the same with low = c(fast), high = c(slow)    ramp "unrounded"
    γ_i = (turns_i − slow) / (fast − slow)           ramp "turns", clipped to [0, 1]; turns_i = L θ_i / 2π

Source: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", arXiv:2309.00071,
definition 3 and eq. 22; ramp "index": the authors' code, github.com/jquesnelle/yarn.
Differs from the paper: the paper's ramp is "turns". The released code, and with it every published model, uses "index",
which is the default here; the two differ on the pairs in between only. "unrounded" is what GPT-OSS uses.
"""

from dataclasses import dataclass
from math import ceil, floor, log, pi
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.rotation.ntk_by_parts import interpolated, kept_by_turns
from longspan.slots import DEFAULT_THETA, Rotation, geometric


@dataclass(frozen=True)
class YaRN(Rotation):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens before any extension (left open: from the geometry).
        fast: turns within L from which on a pair stays.
        slow: turns within L up to which a pair is fully interpolated.
        ramp: how the pairs in between are blended.

    >>> YaRN(factor=4, trained_length=4096).ends(128)
    (20, 46)
    """

    factor: float | None = None
    trained_length: int | None = None
    fast: float = 32.0
    slow: float = 1.0
    ramp: Literal["index", "unrounded", "turns"] = "index"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.factor is None or self.factor >= 1, "factor", "at least 1")
        self.require(self.trained_length is None or self.trained_length >= 1, "trained_length", "at least 1")
        self.require(self.slow > 0, "slow", "above 0")
        self.require(self.fast > self.slow, "fast", f"above slow = {self.slow}")
        self.require(self.ramp in ("index", "unrounded", "turns"), "ramp", "'index', 'unrounded' or 'turns'")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, interpolated, and a ramp in between."""
        plain = geometric(self.theta, rotary_dim)
        if self.ramp == "turns":
            trained_length = self.known(self.trained_length, "trained_length")
            kept = kept_by_turns(plain, trained_length, self.slow, self.fast)
        else:
            low, high = self.ends(rotary_dim)
            width = high - low or 0.001  # a step, as in the released code
            kept = 1 - ((torch.arange(len(plain), dtype=torch.float64) - low) / width).clamp(0, 1)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def ends(self, rotary_dim: int) -> tuple[float, float]:
        """The last pair that is kept whole and the first that is fully interpolated, as the ramps over i have them."""
        low, high = self._pair_turning(self.fast, rotary_dim), self._pair_turning(self.slow, rotary_dim)
        if self.ramp == "index":
            low, high = floor(low), ceil(high)
        last = rotary_dim - 1  # channels, not pairs, as in the released code
        return min(max(low, 0), last), min(max(high, 0), last)

    def _pair_turning(self, times: float, rotary_dim: int) -> float:
        """The index, with fractions, of the pair that turns so many times within the trained length."""
        trained_length = self.known(self.trained_length, "trained_length")
        theta = DEFAULT_THETA if self.theta is None else self.theta
        return rotary_dim * log(trained_length / (2 * pi * times)) / (2 * log(theta))

    @property
    def gain(self) -> float:
        """0.1 ln s + 1."""
        return 0.1 * log(self.known(self.factor, "factor")) + 1

    def changes_nothing(self, length: int) -> bool:
        """Interpolated is what it was, and the temperature is 1."""
        return self.factor == 1
