"""Log-n scaling: a query that sees more keys is made sharper, so that its entropy stays.

    scale(i) = base(i) · max(1, ln n_i / ln L)       form "inference": unchanged up to the trained length L
    scale(i) = base(i) · ln n_i / ln L               form "training"
    scale(i) = base(i) · g²                          form "gain": g = max(1, 0.05 · ln(n_i / L) + 1) on query and key
    n_i: the number of keys that the query sees, itself included

Source: Su 2021, "Attention's scale from entropy invariance", kexue.fm/archives/8823; Su 2023, kexue.fm/archives/9708
(the inference form); github.com/HKUNLP/ChunkLlama, the released code of dual chunk attention (the gain).
Differs from the paper: ChunkLlama's n is the length of the prompt for all queries, and a cached key keeps the gain of
its own step; here n counts what the query itself sees, so that decoding equals reading at once.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Scale, Weights

GAIN_PER_LOG = 0.05
"""By how much the gain grows where the text grows e times as long: half of what YaRN's does."""


@dataclass(frozen=True)
class LogLength(Scale):
    """Neutral: form "inference" or "gain" with trained_length ≥ length.

    Arguments:
        trained_length: L, tokens.
        form: "inference" or "gain" for a model trained without it, "training" for one trained with it.
        base: the scale it multiplies (left open: the scheme's own).
    """

    trained_length: int | None = None
    form: Literal["inference", "training", "gain"] = "inference"
    base: Scale | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.trained_length is None or self.trained_length >= 2, "trained_length", "at least 2")
        self.require(self.form in ("inference", "training", "gain"), "form", "'inference', 'training' or 'gain'")

    def on(self, base: Scale) -> "LogLength":
        """Multiplies `base` where no other base was named; logarithms do not multiply each other."""
        return replace(self, base=base) if self.base is None and not isinstance(base, LogLength) else self

    def fill(self, geometry: Geometry, length: int) -> "LogLength":
        """The trained length where left open, and what the base leaves open."""
        trained_length = geometry.trained_length if self.trained_length is None else self.trained_length
        base = None if self.base is None else self.base.fill(geometry, length)
        return replace(self, trained_length=trained_length, base=base)

    @property
    def multiplies(self) -> Scale | None:
        """The base."""
        return self.base

    def __call__(
        self, visible: Int64[Tensor, "batch 1 queries"], base: float, weights: Weights
    ) -> Float64[Tensor, "..."]:
        """The base times the form's factor."""
        return self._factor(visible) * self.known(self.base, "base")(visible, base, weights)

    def _factor(self, visible: Int64[Tensor, "batch 1 queries"]) -> Float64[Tensor, "batch 1 queries"]:
        seen, trained = visible.clamp(min=1).double().log(), log(self.known(self.trained_length, "trained_length"))
        if self.form == "gain":
            return (GAIN_PER_LOG * (seen - trained) + 1).clamp(min=1.0).square()
        growth = seen / trained
        return growth.clamp(min=1.0) if self.form == "inference" else growth

    def initial_weights(self, num_heads, head_dim, generator=None):
        """Those of the base."""
        return self.base.initial_weights(num_heads, head_dim, generator) if self.base else {}

    def changes_nothing(self, length: int) -> bool:
        """No query sees more keys than the trained length."""
        return self.form != "training" and self.trained_length is not None and self.trained_length >= length
