"""Top-k softmax ("sparse softmax"): the k largest scores share the weight, all others get exactly zero.

    weight_j = e^{s_j} / Σ_{k ∈ T} e^{s_k}  for j ∈ T, else 0        T the k largest scores of the row

Keys with the same score as the k-th one are kept as well, so that the order of keys says nothing.

Source: kexue.fm/archives/10145, "sparse softmax"; Zhao et al. 2019, "Explicit Sparse Transformer", arXiv:1912.11637.
"""

from dataclasses import dataclass
from math import inf

from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class TopK(Normalizer):
    """Neutral: k at least the number of keys, which is softmax.

    Arguments:
        k: keys that a query attends to.

    >>> import torch
    >>> TopK(k=2)(torch.tensor([[[[0.0, 1.0, 1.0]]]]), {}).tolist()
    [[[[0.0, 0.5, 0.5]]]]
    """

    k: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.k >= 1, "k", "at least 1")

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(self._normalized, scores)

    def _normalized(self, scores: Tensor) -> Tensor:
        if self.k >= scores.shape[-1]:
            return scores.softmax(-1)
        least = scores.detach().topk(self.k, -1).values[..., -1:]
        return scores.masked_fill(scores < least, -inf).softmax(-1)
