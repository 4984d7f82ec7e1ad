"""Max gradient: one factor on cosines, in proportion to the logarithm of the usual number of keys.

    scale = m · ln n                             about where α · (1 − Σ p²), softmax's gradient in the L1 norm, peaks

Source: Su 2023, "Attention's scale from the maximization of gradients", kexue.fm/archives/9812 (m = 3.5, n = L / 2);
kexue.fm/archives/9859 (m = 4 for L = 512, in cosine attention).
"""

from dataclasses import dataclass, replace
from math import log

from longspan.geometry import Geometry
from longspan.slots import Part, Scale, Weights

USUAL_LENGTH = 256
"""n where nothing is known of the model: half of the 512 tokens that the second article trained on."""


def check_numbers(part: Part, multiplier: float) -> None:
    """Refuse a `multiplier` of a part that is not above 0, and a `length` whose logarithm is not.

    Errors: SchemeError.
    """
    part.require(multiplier > 0, "multiplier", "above 0")
    part.require_at_least(2, "length")


@dataclass(frozen=True)
class MaxGradient(Scale):
    """Neutral: none. The fits hold for head_dim 128.

    Arguments:
        multiplier: m; 4 for n of a few hundred, 3.5 for n of many thousands.
        length: n, keys (left open: half of the trained length; 256 where no geometry is given either).

    >>> round(MaxGradient(multiplier=4, length=256).value, 4)
    22.1807
    """

    multiplier: float = 4.0
    length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, self.multiplier)

    def fill(self, geometry: Geometry, length: int) -> "MaxGradient":
        """Half of the trained length where left open, and at least 2: the logarithm of less is no factor."""
        return replace(self, length=max(2, geometry.trained_length // 2)) if self.length is None else self

    def __call__(self, base: float, weights: Weights) -> float:
        """The value, whatever the model's own number."""
        return self.value

    @property
    def value(self) -> float:
        """The factor."""
        return self.multiplier * log(USUAL_LENGTH if self.length is None else self.length)
