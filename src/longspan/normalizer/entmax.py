"""Entmax: softmax and sparsemax as the two ends of one family; between them, sparse and smooth.

    weight_j = max(0, (α − 1) s_j − τ)^{1/(α−1)}    τ such that the weights sum to one

Source: Peters et al. 2019, "Sparse Sequence-to-Sequence Models", arXiv:1905.05702, eq. 9; other α: Correia et al. 2019,
"Adaptively Sparse Transformers", arXiv:1909.00015; computed by the authors' package `entmax`.
"""

from dataclasses import dataclass

from entmax import entmax15, entmax_bisect
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class Entmax(Normalizer):
    """Neutral: alpha → 1, which is softmax; alpha = 2 is sparsemax.

    Arguments:
        alpha: α; 1.5 is solved exactly by sorting, other values by bisection.

    >>> import torch
    >>> Entmax()(torch.tensor([[[[-2.0, 0.0, 0.5]]]]), {})
    tensor([[[[0.0000, 0.3260, 0.6740]]]])
    """

    alpha: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 < self.alpha <= 2, "alpha", "above 1 and at most 2 (write softmax for 1)")

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(self._solve, scores)

    def _solve(self, scores: Tensor) -> Tensor:
        return entmax15(scores) if self.alpha == 1.5 else entmax_bisect(scores, self.alpha)
