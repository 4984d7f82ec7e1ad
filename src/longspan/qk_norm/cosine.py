"""Cosine attention (CosA): only the angle between query and key counts.

    score(i, j) = λ · cos(q_i, k_j)                 λ = 4 · ln n,  n = L / 2

With `log_length(n, form=training)`, of the same n, the factor becomes 4 · ln of the keys that the query sees: the
article's CosA-logn.

Source: Su 2023, "Transformer upgrade road 15: Key normalization helps length extrapolation", kexue.fm/archives/9859.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from longspan.geometry import Geometry
from longspan.qk_norm.key_norm import unit
from longspan.scale.max_gradient import MaxGradient, check_numbers
from longspan.slots import QKNorm, Weights


@dataclass(frozen=True)
class Cosine(QKNorm):
    """Neutral: none. Brings `max_gradient(multiplier, length)`.

    Arguments:
        multiplier: λ / ln n; 4 flattens the entropy over lengths at head_dim 128.
        length: n, keys (left open: half of the trained length L; 256 where no geometry is given either).

    >>> Cosine(length=1024).brings()
    MaxGradient(multiplier=4.0, length=1024)
    """

    multiplier: float = 4.0
    length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, self.multiplier)

    def fill(self, geometry: Geometry, length: int) -> "Cosine":
        """The length of the scale that it brings."""
        return replace(self, length=self.brings().fill(geometry, length).length)

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The query at length one."""
        return unit(query)

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The key at length one."""
        return unit(key)

    def brings(self) -> MaxGradient:
        """λ."""
        return MaxGradient(self.multiplier, self.length)
