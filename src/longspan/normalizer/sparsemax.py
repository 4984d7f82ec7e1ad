"""Sparsemax: the point of the simplex nearest to the scores; small scores get exactly zero.

    weight_j = max(0, s_j − τ)                      τ such that the weights sum to one

Source: Martins & Astudillo 2016, "From Softmax to Sparsemax", arXiv:1602.02068, eq. 2; computed by the authors'
package `entmax`.
"""

from dataclasses import dataclass

from entmax import sparsemax
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class Sparsemax(Normalizer):
    """Neutral: none.

    >>> import torch
    >>> Sparsemax()(torch.tensor([[[[-2.0, 0.0, 0.5]]]]), {}).tolist()
    [[[[0.0, 0.25, 0.75]]]]
    """

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(sparsemax, scores)
