"""Linear: position interpolation; every position is divided by the factor, so that none is beyond the trained ones.

    θ'_i = θ_i / s

Source: Chen et al. 2023, "Extending Context Window of Large Language Models via Positional Interpolation",
arXiv:2306.15595, eq. 4; found independently by kaiokendev 2023 (SuperHOT).
"""

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class Linear(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).

    >>> Linear(factor=4, theta=10000).frequencies(4).tolist()
    [0.25, 0.0025]
    """

    factor: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """All slower by the factor."""
        return self.original(rotary_dim) / self.known(self.factor, "factor")

    def changes_nothing(self, length: int) -> bool:
        """Dividing by 1 changes no frequency."""
        return self.factor == 1
