"""Cosine attention (CosA): only the angle between query and key counts.

    score(i, j) = λ · cos(q_i, k_j)                 λ = 4 · ln 256

With `log_length(256, form=training)` the factor becomes 4 · ln n, the article's CosA-logn.

Source: Su 2023, "Transformer upgrade road 15: Key normalization helps length extrapolation", kexue.fm/archives/9859.
"""

from dataclasses import dataclass
from math import log

from jaxtyping import Float
from torch import Tensor

from longspan.qk_norm.key_norm import unit
from longspan.scale.constant import Constant
from longspan.slots import QKNorm, Weights

USUAL_LENGTH = 256
"""n in λ = 4 ln n: half of the 512 tokens that the article trained on."""


@dataclass(frozen=True)
class Cosine(QKNorm):
    """Neutral: none. Brings `constant(multiplier · ln 256)`.

    Arguments:
        multiplier: λ / ln n; 4 flattens the entropy over lengths at head_dim 128.

    >>> round(Cosine().brings().value, 4)
    22.1807
    """

    multiplier: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.multiplier > 0, "multiplier", "above 0")

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The query at length one."""
        return unit(query)

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The key at length one."""
        return unit(key)

    def brings(self) -> Constant:
        """λ."""
        return Constant(self.multiplier * log(USUAL_LENGTH))
