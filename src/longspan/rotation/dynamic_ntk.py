"""Dynamic NTK: the base grows with the length read so far, and not at all within the trained length.

    θ'_i = θ_i · s^(−2i/(d−2))           `ntk(variant="aware")`

    s = 1                                for a row with n ≤ L tokens up to itself
    s = f · (2, 4, 8 …) − (f − 1)        for L < n ≤ 2L, 2L < n ≤ 4L, 4L < n ≤ 8L …
    s = f · max(1, N / L) − (f − 1)      for all rows where N, the length, is given

Source: emozilla 2023, "Dynamically Scaled RoPE", r/LocalLLaMA; powers of two: Bai et al. 2023, "Qwen Technical Report",
arXiv:2309.16609; a fixed N: Su 2023, kexue.fm/archives/9948.
Differs from the paper: s follows each row's own length n and not the length of the call, so that reading a text at once
and token by token give the same. Hugging Face's dynamic scaling of a call of N tokens is `length=N`; Qwen's is f = 2.
"""

from dataclasses import dataclass, field, fields, replace
from typing import cast

from jaxtyping import Float64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.rotation.ntk import NTK
from longspan.slots import UNBOUNDED, Part, RotaryEmbedding, Segment


@dataclass(frozen=True)
class DynamicNTK(RotaryEmbedding):
    """Neutral: trained_length ≥ length.

    Arguments:
        trained_length: L, tokens (left open: from the geometry).
        length: N, tokens; one base for all rows, fit for so many. Left open, and it stays so: rows choose their own.
        factor: f, how much faster than the text the base grows (left open: the checkpoint's, else 1).

    >>> DynamicNTK(trained_length=4, length=16, theta=16).frequencies(4).tolist()
    [1.0, 0.0625]
    """

    trained_length: int | None = None
    length: int | None = None
    factor: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "trained_length")
        self.require_at_least(1, "length")
        self.require_at_least(1, "factor")

    def fill(self, geometry: Geometry, length: int) -> "Part":
        """As for any rotation, but `factor` stays open: it is not a ratio of lengths here."""
        return replace(cast("DynamicNTK", super().fill(geometry, length)), factor=self.factor)

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Those of the given length; where it is open, those of rows within the trained length."""
        trained_length = self.known(self.trained_length, "trained_length")
        length = trained_length if self.length is None else self.length
        return self._stretched(max(1.0, length / trained_length)).frequencies(rotary_dim)

    def segments(self, length: int) -> tuple[Segment, ...]:
        """The trained length, then as much again, then each time twice as much; one segment for a given length."""
        if self.length is not None:
            return super().segments(length)
        stop = self.known(self.trained_length, "trained_length")
        found = [Segment(-UNBOUNDED, min(stop, length), self._stretched(1.0))]
        factor = 1
        while stop < length:
            factor *= 2
            found.append(Segment(stop, min(2 * stop, length), self._stretched(float(factor))))
            stop *= 2
        return tuple(found)

    def _stretched(self, stretch: float) -> NTK:
        factor = 1.0 if self.factor is None else self.factor
        of_rotation = {f.name: getattr(self, f.name) for f in fields(RotaryEmbedding)}
        return NTK(factor * stretch - (factor - 1), "aware", **of_rotation)

    @property
    def causal_only(self) -> bool:
        """A row that sees all tokens has no length of its own."""
        return self.length is None

    @property
    def shift_period(self) -> int | None:
        """Shifts move rows to other segments."""
        return None if self.length is None else 1

    def changes_nothing(self, length: int) -> bool:
        """No row is longer than the trained length."""
        longest = length if self.length is None else self.length
        return self.trained_length is not None and self.trained_length >= longest
