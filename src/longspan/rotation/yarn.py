"""YaRN: NTK-by-parts, and a temperature that makes attention sharper the longer the text.

    θ'_i = γ_i θ_i + (1 − γ_i) θ_i / s               gain on q and on k: 0.1 ln s + 1, or a given number

    γ_i = 1 − (i − low) / (high − low)               ramp "index", clipped to [0, 1]
          low = ⌊c(fast)⌋, high = ⌈c(slow)⌉,         c(t) = d ln(L / 2πt) / (2 ln b): the pair that rotates t times in L
    γ_i = the same with low = c(fast), high = c(slow)    ramp "unrounded"
    γ_i = (n_i − slow) / (fast − slow)               ramp "turns", clipped to [0, 1]; n_i = L θ_i / 2π rotations in L

Source: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", arXiv:2309.00071,
definition 3 and eq. 22; ramp "index": the authors' code, github.com/jquesnelle/yarn.
Differs from the paper: the paper's ramp is "turns". The released code, and with it every published model, uses "index",
which is the default here; the two differ on the pairs in between only. "unrounded" is what GPT-OSS uses.
DeepSeek splits the gain, (0.1 m ln s + 1) / (0.1 a ln s + 1) with m = mscale and a = mscale_all_dim, and multiplies its
softmax scale by (0.1 a ln s + 1)²: github.com/deepseek-ai/DeepSeek-V3, inference/model.py.
"""

from dataclasses import dataclass, field
from math import ceil, floor, log, pi
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.rotation.ntk_by_parts import interpolated, kept_by_rotations
from longspan.slots import DEFAULT_THETA, RotaryEmbedding


@dataclass(frozen=True)
class YaRN(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens before any extension (left open: from the geometry).
        fast: full rotations within L from which on a pair stays (left open: the checkpoint's, else 32).
        slow: full rotations within L up to which a pair is fully interpolated (left open: the checkpoint's, else 1).
        ramp: how the pairs in between are blended (left open: the checkpoint's, else "index").
        attention_factor: the gain itself, where a checkpoint names one (left open: the formula's).
        mscale: m of DeepSeek's split gain, which counts where both m and a are above 0.
        mscale_all_dim: a of it; attention must then multiply its scale by `score_factor`, which an extension of a
            DeepSeek model does.

    >>> YaRN(factor=4, trained_length=4096).ends(128)
    (20, 46)
    """

    factor: float | None = None
    trained_length: int | None = None
    fast: float | None = None
    slow: float | None = None
    ramp: Literal["index", "unrounded", "turns"] | None = None
    attention_factor: float | None = field(default=None, kw_only=True)
    mscale: float | None = field(default=None, kw_only=True)
    mscale_all_dim: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")
        self.require_at_least(1, "trained_length")
        fast, slow = self.thresholds
        self.require(slow > 0, "slow", "above 0")
        self.require(fast > slow, "fast", f"above slow = {slow}")
        self.require(self.ramp in (None, "index", "unrounded", "turns"), "ramp", "'index', 'unrounded' or 'turns'")
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            value = getattr(self, name)
            self.require(value is None or value >= 0, name, "at least 0")

    @property
    def thresholds(self) -> tuple[float, float]:
        """`fast` and `slow`, full rotations within the trained length."""
        return 32.0 if self.fast is None else self.fast, 1.0 if self.slow is None else self.slow

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, interpolated, and a ramp in between."""
        plain = self.original(rotary_dim)
        if self.ramp == "turns":
            trained_length = self.known(self.trained_length, "trained_length")
            fast, slow = self.thresholds
            kept = kept_by_rotations(plain, trained_length, slow, fast)
        else:
            low, high = self.ends(rotary_dim)
            width = high - low or 0.001  # a step, as in the released code
            kept = 1 - ((torch.arange(len(plain), dtype=torch.float64) - low) / width).clamp(0, 1)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def ends(self, rotary_dim: int) -> tuple[float, float]:
        """The last pair that is kept whole and the first that is fully interpolated, as the ramps over i have them."""
        low, high = (self._pair_rotating(times, rotary_dim) for times in self.thresholds)
        if self.ramp != "unrounded":
            low, high = floor(low), ceil(high)
        last = rotary_dim - 1  # channels, not pairs, as in the released code
        return min(max(low, 0), last), min(max(high, 0), last)

    def _pair_rotating(self, times: float, rotary_dim: int) -> float:
        """The index, with fractions, of the pair that rotates so many times within the trained length."""
        trained_length = self.known(self.trained_length, "trained_length")
        theta = DEFAULT_THETA if self.theta is None else self.theta
        return rotary_dim * log(trained_length / (2 * pi * times)) / (2 * log(theta))

    @property
    def gain(self) -> float:
        """The given number, else 0.1 ln s + 1, or DeepSeek's ratio."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return self._temperature(self.mscale) / self._temperature(self.mscale_all_dim)
        return self._temperature(1.0)

    @property
    def score_factor(self) -> float:
        """What DeepSeek's attention multiplies its softmax scale by; 1 without `mscale_all_dim`."""
        return self._temperature(self.mscale_all_dim or 0.0) ** 2

    def _temperature(self, mscale: float) -> float:
        return 0.1 * mscale * log(self.known(self.factor, "factor")) + 1

    def changes_nothing(self, length: int) -> bool:
        """Interpolation by 1 changes no frequency, and the gain is 1."""
        return self.factor == 1 and self.attention_factor in (None, 1)
