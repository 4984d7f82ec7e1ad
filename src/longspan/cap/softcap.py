"""Softcap: scores are squeezed smoothly between −limit and limit.

    cap(s) = limit · tanh(s / limit)

Source: Gemma team 2024, "Gemma 2: Improving Open Language Models at a Practical Size", arXiv:2408.00118, section 2
(50 in attention); after Bello et al. 2016, arXiv:1611.09940.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from longspan.slots import Cap


@dataclass(frozen=True)
class Softcap(Cap):
    """Neutral: limit far above every score.

    Arguments:
        limit: the bound that no score reaches.

    >>> import torch
    >>> Softcap(limit=2.0)(torch.tensor([0.0, 1e9])).tolist()
    [0.0, 2.0]
    """

    limit: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.limit > 0, "limit", "above 0")

    def __call__(self, scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Slope one at zero, flat far out."""
        return self.limit * (scores / self.limit).tanh()

    @property
    def tanh_limit(self) -> float:
        """The limit."""
        return self.limit
