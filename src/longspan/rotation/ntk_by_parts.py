"""NTK-by-parts: pairs that turned often in training stay, pairs that hardly turned are interpolated.

    θ'_i = γ_i θ_i + (1 − γ_i) θ_i / s
    γ_i  = (turns_i − slow) / (fast − slow), clipped to [0, 1]           turns_i = L θ_i / 2π

Source: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", arXiv:2309.00071,
section 3.2.
"""

from dataclasses import dataclass
from math import pi

from jaxtyping import Float64
from torch import Tensor

from longspan.slots import Rotation


def interpolated(
    frequencies: Float64[Tensor, " pairs"], factor: float, kept: Float64[Tensor, " pairs"]
) -> Float64[Tensor, " pairs"]:
    """Each frequency between itself (kept = 1) and itself divided by the factor (kept = 0)."""
    return kept * frequencies + (1 - kept) * frequencies / factor


def kept_by_turns(
    frequencies: Float64[Tensor, " pairs"], trained_length: int, slow: float, fast: float
) -> Float64[Tensor, " pairs"]:
    """How much of each frequency stays, by how often its pair turned within the trained length."""
    turns = trained_length * frequencies / (2 * pi)
    return ((turns - slow) / (fast - slow)).clamp(0, 1)


@dataclass(frozen=True)
class NTKByParts(Rotation):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens (left open: from the geometry).
        slow: α, turns within L up to which a pair is fully interpolated.
        fast: β, turns within L from which on a pair stays.

    1000 · 0.01 / 2π = 1.592 turns: γ = 0.592 / 31 = 0.0191, and 0.01 · (0.0191 + 0.9809 / 4) = 0.002643.

    >>> NTKByParts(factor=4, trained_length=1000, theta=10000).frequencies(4).tolist()
    [1.0, 0.002643...]
    """

    factor: float | None = None
    trained_length: int | None = None
    slow: float = 1.0
    fast: float = 32.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.factor is None or self.factor >= 1, "factor", "at least 1")
        self.require(self.trained_length is None or self.trained_length >= 1, "trained_length", "at least 1")
        self.require(self.slow >= 0, "slow", "at least 0")
        self.require(self.fast > self.slow, "fast", f"above slow = {self.slow}")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, interpolated, and a ramp in between."""
        plain = self.original(rotary_dim)
        trained_length = self.known(self.trained_length, "trained_length")
        kept = kept_by_turns(plain, trained_length, self.slow, self.fast)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def changes_nothing(self, length: int) -> bool:
        """Interpolated is what it was."""
        return self.factor == 1
