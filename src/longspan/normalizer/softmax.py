"""Softmax.

    weight_j = e^{s_j} / Σ_k e^{s_k}

Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class Softmax(Normalizer):
    """Neutral: the default normalizer."""

    order = 1

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(lambda rows: rows.softmax(-1), scores)
