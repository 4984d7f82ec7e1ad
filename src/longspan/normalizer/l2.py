"""l2: the squares of the weights sum to one, so that their sum can tell a position.

    weight_j = e^{s_j} / √( Σ_k e^{2 s_k} )

Source: Su 2022, "Transformer upgrade road 5: the flaw of relative position encodings and what to do about it",
kexue.fm/archives/9105.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class L2(Normalizer):
    """Neutral: none.

    >>> import torch
    >>> L2()(torch.zeros(1, 1, 1, 4), {}).tolist()
    [[[[0.5, 0.5, 0.5, 0.5]]]]
    """

    rows_sum_to_one = False
    order = 2

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows have length one; a row without keys gives zeros."""
        return in_rows_with_keys(_at_length_one, scores)


def _at_length_one(scores: Tensor) -> Tensor:
    # The largest weight is e⁰ before the division: nothing overflows and the length is at least one.
    grown = (scores - scores.detach().amax(-1, keepdim=True)).exp()
    return grown / grown.norm(dim=-1, keepdim=True)
