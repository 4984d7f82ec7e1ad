"""The slot `normalizer`: how do scores become weights?"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nan
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from longspan.slots.part import Part, Weights


@dataclass(frozen=True)
class Normalizer(Part):
    """How do scores become weights?"""

    slot: ClassVar[str] = "normalizer"
    rows_sum_to_one: ClassVar[bool] = True
    order: ClassVar[float | None] = None
    """p where the weights are e^s / (Σ e^{p s})^{1/p}, so that kernels may visit the keys in pieces and merge by
    log-sum-exp: 1 for softmax, 2 where the squares sum to one; None where sums of exponentials do not give them."""

    @abstractmethod
    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Weights from scores; −inf marks pairs that do not exist. A row of nothing but −inf gives zeros."""

    def extra_logit(self, num_heads: int, weights: Weights) -> Float[Tensor, " num_heads"] | None:
        """The score of a key without a value that joins every row; None where no such key exists."""
        return None


def in_rows_with_keys(
    normalize: Callable[[Tensor], Tensor], scores: Float[Tensor, "batch heads queries keys"]
) -> Float[Tensor, "batch heads queries keys"]:
    """`normalize(scores)`, but zeros for rows of nothing but −inf, and no NaN from them in any gradient.

    Rows with a NaN or +inf give NaN, as softmax does, and never reach `normalize`.
    """
    empty, spoiled = (scores == -inf).all(-1, keepdim=True), ~(scores < inf).all(-1, keepdim=True)
    weights = normalize(scores.masked_fill(empty | spoiled, 0.0)).masked_fill(empty, 0.0)
    return weights.masked_fill(spoiled, nan)
