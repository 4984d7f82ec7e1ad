"""Llama 3: long wavelengths are divided by the factor, short ones stay, with a smooth blend between.

    θ'_i = σ_i θ_i + (1 − σ_i) θ_i / s
    σ_i  = (L / λ_i − low) / (high − low), clipped to [0, 1]             λ_i = 2π / θ_i
           where high = low, as in Llama 4: 1 for L / λ_i ≥ low, else 0

Source: Meta 2024, github.com/meta-llama/llama-models, models/llama3/model.py, apply_scaling; the model: Grattafiori et
al. 2024, "The Llama 3 Herd of Models", arXiv:2407.21783. Llama 3.1: s = 8, L = 8192, theta = 500000; Llama 3.2: s = 32.
"""

from dataclasses import dataclass
from math import pi

from jaxtyping import Float64
from torch import Tensor

from longspan.rotation.ntk_by_parts import interpolated, kept_by_rotations
from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class Llama3(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens (left open: from the geometry).
        low: wavelengths above L / low are divided by the factor (left open: the checkpoint's, else 1).
        high: wavelengths below L / high stay (left open: the checkpoint's, else 4); equal to `low` for no blend.

    Wavelength 6283: σ = (8192 / 6283 − 1) / 3 = 0.1013, and 0.001 · (0.1013 + 0.8987 / 8) = 0.0002136.

    >>> Llama3(factor=8, trained_length=8192, theta=1e6).frequencies(4).tolist()
    [1.0, 0.0002136...]
    """

    factor: float | None = None
    trained_length: int | None = None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")
        self.require_at_least(1, "trained_length")
        low, high = self.ends
        self.require(low > 0, "low", "above 0")
        self.require(high >= low, "high", f"at least low = {low}")

    @property
    def ends(self) -> tuple[float, float]:
        """`low` and `high`."""
        return 1.0 if self.low is None else self.low, 4.0 if self.high is None else self.high

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, divided, and smooth in between: NTK-by-parts with other ends and no temperature."""
        plain, (low, high) = self.original(rotary_dim), self.ends
        trained_length = self.known(self.trained_length, "trained_length")
        if low == high:
            kept = (trained_length * plain / (2 * pi) >= low).to(plain)
        else:
            kept = kept_by_rotations(plain, trained_length, low, high)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def changes_nothing(self, length: int) -> bool:
        """Dividing by 1 changes no frequency."""
        return self.factor == 1
