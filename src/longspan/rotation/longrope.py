"""LongRoPE: a factor of its own for each pair, found by search; one list for short texts and one for long ones.

    θ'_i = θ_i / short_i     for a row with n ≤ L tokens up to itself
           θ_i / long_i      for n > L                       gain on q and on k: √(1 + ln s / ln L), or a given number

Source: Ding et al. 2024, "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens", arXiv:2402.13753; the gain
and the two lists: github.com/microsoft/LongRoPE and the Phi-3 models in Hugging Face transformers.
Differs from the paper: the list follows each row's own length and not the length of the call, so that reading a text at
once and token by token give the same; the search's second unknown, a number of first tokens left unscaled, is not here.
"""

from dataclasses import dataclass, field, replace
from math import log, sqrt
from typing import cast

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.slots import UNBOUNDED, RotaryEmbedding, Segment


@dataclass(frozen=True)
class LongRoPE(RotaryEmbedding):
    """Neutral: all of long and short = 1 and factor = 1.

    Arguments:
        short: λ of each pair for rows within the trained length (left open: `long` for all rows).
        long: λ of each pair for rows beyond it (left open: the factor for each, from where the search starts).
        trained_length: L, tokens (left open: from the geometry).
        factor: s, wanted over trained length, for the gain (left open: from the geometry; 1 for no gain).
        attention_factor: the gain itself, where a checkpoint names one (left open: the formula's).

    >>> LongRoPE(long=(1, 4), trained_length=4096, factor=4, theta=10000).frequencies(4).tolist()
    [1.0, 0.0025]
    """

    short: tuple[float, ...] | None = None
    long: tuple[float, ...] | None = None
    trained_length: int | None = None
    factor: float | None = field(default=None, kw_only=True)
    attention_factor: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("short", "long"):
            scaling = getattr(self, name)
            self.require(scaling is None or all(value > 0 for value in scaling), name, "all above 0")
        # ln L divides.
        self.require_at_least(2, "trained_length")
        self.require_at_least(1, "factor")
        self.require(self.attention_factor is None or self.attention_factor > 0, "attention_factor", "above 0")

    def fill(self, geometry: Geometry, length: int) -> "LongRoPE":
        """Where it is left open, `long` is the factor for each pair."""
        filled = cast("LongRoPE", super().fill(geometry, length))
        if filled.long is not None or filled.factor is None:
            return filled
        return replace(filled, long=(filled.factor,) * (int(geometry.head_dim * self.partial) // 2))

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Those of rows beyond the trained length."""
        scaling = torch.tensor(self.known(self.long, "long"), dtype=torch.float64)
        if len(scaling) != rotary_dim // 2:
            raise SchemeError(
                f"longrope: a list holds one factor per pair, {rotary_dim // 2} for {rotary_dim} channels that rotate, "
                f"got {len(scaling)}"
            )
        return self.original(rotary_dim) / scaling

    @property
    def gain(self) -> float:
        """The given number, else √(1 + ln s / ln L)."""
        if self.attention_factor is not None:
            return self.attention_factor
        return sqrt(1 + log(self.known(self.factor, "factor")) / log(self.known(self.trained_length, "trained_length")))

    def segments(self, length: int) -> tuple[Segment, ...]:
        """The trained length and what is beyond; one segment where both lists agree."""
        if not self._switches:
            return super().segments(length)
        stop = self.known(self.trained_length, "trained_length")
        near = Segment(-UNBOUNDED, min(stop, length), replace(self, short=None, long=self.short))
        far = Segment(stop, length, replace(self, short=None))
        return (near, far) if stop < length else (near,)

    @property
    def _switches(self) -> bool:
        return self.short is not None and self.short != self.long

    @property
    def causal_only(self) -> bool:
        """A row that sees all tokens has no length of its own."""
        return self._switches

    @property
    def shift_period(self) -> int | None:
        """Shifts move rows to the other list."""
        return None if self._switches else 1

    def changes_nothing(self, length: int) -> bool:
        """No list in use changes a pair, and the gain is 1."""
        within = self.trained_length is not None and self.trained_length >= length
        used = (self.short,) if self._switches and within else (self.short or self.long, self.long)
        neutral = self.factor == 1 if self.attention_factor is None else self.attention_factor == 1
        return neutral and all(scaling is not None and set(scaling) <= {1.0} for scaling in used)
