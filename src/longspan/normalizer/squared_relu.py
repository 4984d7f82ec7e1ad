"""Squared ReLU: no exponential and no sum to one; negative scores get exactly zero.

    weight_j = max(0, s_j)² / n                     n the number of keys that the query sees

Source: Hua et al. 2022, "Transformer Quality in Linear Time", arXiv:2202.10447, section 3.2; 1/n outside the square:
Su 2022, kexue.fm/archives/8934.
Differs from the paper: the paper divides the scores by n, which is 1/n² here; and n counts the visible keys of each
row, not the length of the call.
"""

from dataclasses import dataclass
from math import inf

from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights


@dataclass(frozen=True)
class SquaredReLU(Normalizer):
    """Neutral: none.

    >>> import torch
    >>> SquaredReLU()(torch.tensor([[[[-1.0, 2.0, -torch.inf]]]]), {}).tolist()
    [[[[0.0, 2.0, 0.0]]]]
    """

    rows_sum_to_one = False

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """A row without keys gives zeros."""
        visible = (scores != -inf).sum(-1, keepdim=True).clamp(min=1)
        return scores.relu().square() / visible
