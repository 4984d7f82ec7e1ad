"""No locality: every pair that the direction allows.

    0 ≤ j < ∞

Source: Vaswani et al. 2017, arXiv:1706.03762.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.slots import UNBOUNDED, Mask


@dataclass(frozen=True)
class All(Mask):
    """Neutral: always."""

    def interval(self, order: Int64[Tensor, "..."], causal: bool) -> tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]:
        """The whole document."""
        return torch.zeros_like(order), torch.full_like(order, UNBOUNDED)
