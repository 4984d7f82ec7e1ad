"""Sandwich: the product of two sinusoidal position embeddings, weaker from head to head.

    bias_h(r) = Σ_i cos(r / 10000^(2i/w)) / (8h/H)  i = 0 … w/2−1,  h = 1 … H

Source: Chi et al. 2022, "Dissecting Transformer Length Extrapolation via the Lens of Receptive Field Analysis"
(first called "Receptive Field Alignment Enables Transformer Length Extrapolation"), arXiv:2212.10356.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.slots import ScoreBias, Weights, geometric


@dataclass(frozen=True)
class Sandwich(ScoreBias):
    """Neutral: none. Nothing is learned.

    Arguments:
        width: w, channels of the embeddings; it has nothing to do with the head's size.

    >>> Sandwich(width=128)(torch.tensor(0), torch.tensor(7), 8, {}).item()
    8.0
    """

    width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.width >= 2 and self.width % 2 == 0, "width", "even and at least 2")

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float64[Tensor, "..."]:
        """The product, largest at distance 0, divided by the head's ratio."""
        distance = relative.double()
        # One frequency at a time: all at once would be as many times the memory of the bias.
        product = sum(
            ((distance * frequency).cos() for frequency in geometric(None, self.width).tolist()),
            torch.zeros_like(distance),
        )
        return product * num_heads / (8 * (head + 1))
