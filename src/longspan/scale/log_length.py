"""Log-n scaling: a query that sees more keys is made sharper, so that its entropy stays.

    scale(i) = base(i) · max(1, ln n_i / ln L)       form "inference": unchanged up to the trained length L
    scale(i) = base(i) · ln n_i / ln L               form "training"
    n_i: the number of keys that the query sees, itself included

Source: Su 2021, "Attention's scale from entropy invariance", kexue.fm/archives/8823; Su 2023, kexue.fm/archives/9708
(the inference form).
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Scale, Weights


@dataclass(frozen=True)
class LogLength(Scale):
    """Neutral: form "inference" with trained_length ≥ length.

    Arguments:
        trained_length: L, tokens.
        form: "inference" for a model trained without it, "training" for one trained with it.
        base: the scale it multiplies (left open: the scheme's own).
    """

    trained_length: int | None = None
    form: Literal["inference", "training"] = "inference"
    base: Scale | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.trained_length is None or self.trained_length >= 2, "trained_length", "at least 2")
        self.require(self.form in ("inference", "training"), "form", "'inference' or 'training'")

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
        """The base times the logarithm of what the query sees, in units of the logarithm of L."""
        factor = visible.clamp(min=1).double().log() / log(self.known(self.trained_length, "trained_length"))
        if self.form == "inference":
            factor = factor.clamp(min=1.0)
        return factor * self.known(self.base, "base")(visible, base, weights)

    def initial_weights(self, num_heads, head_dim, generator=None):
        """Those of the base."""
        return self.base.initial_weights(num_heads, head_dim, generator) if self.base else {}

    def changes_nothing(self, length: int) -> bool:
        """No query sees more keys than the trained length."""
        return self.form == "inference" and self.trained_length is not None and self.trained_length >= length
