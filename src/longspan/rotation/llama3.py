"""Llama 3: long wavelengths are divided by the factor, short ones stay, with a smooth passage between.

    θ'_i = σ_i θ_i + (1 − σ_i) θ_i / s
    σ_i  = (L / λ_i − low) / (high − low), clipped to [0, 1]             λ_i = 2π / θ_i

Source: Meta 2024, github.com/meta-llama/llama-models, models/llama3/model.py, apply_scaling; the model: Grattafiori et
al. 2024, "The Llama 3 Herd of Models", arXiv:2407.21783. Llama 3.1: s = 8, L = 8192, theta = 500000; Llama 3.2: s = 32.
"""

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from longspan.rotation.ntk_by_parts import interpolated, kept_by_turns
from longspan.slots import Rotation, geometric


@dataclass(frozen=True)
class Llama3(Rotation):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        trained_length: L, tokens (left open: from the geometry).
        low: wavelengths above L / low are divided by the factor.
        high: wavelengths below L / high stay.

    Wavelength 6283: σ = (8192 / 6283 − 1) / 3 = 0.1013, and 0.001 · (0.1013 + 0.8987 / 8) = 0.0002136.

    >>> Llama3(factor=8, trained_length=8192, theta=1e6).frequencies(4).tolist()
    [1.0, 0.0002136...]
    """

    factor: float | None = None
    trained_length: int | None = None
    low: float = 1.0
    high: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.factor is None or self.factor >= 1, "factor", "at least 1")
        self.require(self.trained_length is None or self.trained_length >= 1, "trained_length", "at least 1")
        self.require(self.low > 0, "low", "above 0")
        self.require(self.high > self.low, "high", f"above low = {self.low}")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Kept, divided, and smooth in between: NTK-by-parts with other ends and no temperature."""
        plain = geometric(self.theta, rotary_dim)
        kept = kept_by_turns(plain, self.known(self.trained_length, "trained_length"), self.low, self.high)
        return interpolated(plain, self.known(self.factor, "factor"), kept)

    def changes_nothing(self, length: int) -> bool:
        """Divided is what it was."""
        return self.factor == 1
