"""NTK-by-parts: pairs that rotated often in training stay, pairs that hardly rotated are interpolated.

    θ'_i = γ_i θ_i + (1 − γ_i) θ_i / s
    γ_i  = (n_i − slow) / (fast − slow), clipped to [0, 1]      n_i = L θ_i / 2π, the full rotations within L

Source: Peng et al. 2023, "YaRN: Efficient Context Window Extension of Large Language Models", arXiv:2309.00071,
section 3.2.
"""

from dataclasses import dataclass
from math import pi

from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


def interpolated(
    frequencies: Float64[Tensor, " pairs"], factor: float, kept: Float64[Tensor, " pairs"]
) -> Float64[Tensor, " pairs"]:
    """Each frequency between itself (kept = 1) and itself divided by the factor (kept = 0)."""
    return kept * frequencies + (1 - kept) * frequencies / factor


def kept_by_rotations(
    frequencies: Float64[Tensor, " pairs"], trained_length: int, slow: float, fast: float
) -> Float64[Tensor, " pairs"]:
    """How much of each frequency stays, by how often its pair rotates fully within the trained length."""
    rotations = trained_length * frequencies / (2 * pi)
    return ((rotations - slow) / (fast - slow)).clamp(0, 1)


@dataclass(frozen=True)
class NTKByParts(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens (left open: from the geometry).
        slow: α, full rotations within L up to which a pair is fully interpolated.
        fast: β, full rotations within L from which on a pair stays.

    1000 · 0.01 / 2π = 1.592 rotations: γ = 0.592 / 31 = 0.0191, and 0.01 · (0.0191 + 0.9809 / 4) = 0.002643.

    >>> NTKByParts(factor=4, trained_length=1000, theta=10000).frequencies(4).tolist()
    [1.0, 0.002643...]
    """

    factor: float | None = None
    trained_length: int | None = None
    slow: float = 1.0
    fast: float = 32.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")
        self.require_at_least(1, "trained_length")
        self.require_at_least(0, "slow")
        self.require(self.fast > self.slow, "fast", f"above slow = {self.slow}")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, interpolated, and a ramp in between."""
        plain = self.original(rotary_dim)
        trained_length = self.known(self.trained_length, "trained_length")
        kept = kept_by_rotations(plain, trained_length, self.slow, self.fast)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def changes_nothing(self, length: int) -> bool:
        """Interpolation by 1 changes no frequency."""
        return self.factor == 1
