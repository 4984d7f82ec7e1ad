"""xPos: RoPE whose scores fade with distance, fast pairs first.

    R(p) rotates pair i by p · θ_i;  its part of the score shrinks by ζ_i^(r/B)        r = i − j ≥ 0
    ζ_i = (2i/d + γ) / (1 + γ)

Source: Sun et al. 2022, "A Length-Extrapolatable Transformer", arXiv:2212.10554, section 3.
Differs from the paper: only the product ζ^(r/B) is defined here. How a backend divides it between q and k, and how it
avoids overflow (the paper centers positions on the middle of the text), is the backend's choice.
"""

from dataclasses import dataclass, field
from math import inf

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import INFINITE, RotaryEmbedding


@dataclass(frozen=True)
class XPos(RotaryEmbedding):
    """Neutral: gamma = inf is `rope`.

    Arguments:
        gamma: γ; the smaller, the faster the fast pairs fade; inf for none.
        scale_base: B, tokens after which pair i has faded to ζ_i.

    >>> (XPos(gamma=1, scale_base=512).log_decay(4) * 512).exp().tolist()
    [0.5, 0.75]
    """

    gamma: float = field(default=0.4, metadata={INFINITE: True})
    scale_base: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.gamma > 0, "gamma", "above 0")
        self.require_at_least(1, "scale_base")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Those of RoPE."""
        return self.original(rotary_dim)

    def log_decay(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """ln ζ / B, with ζ written as 1 − (1 − 2i/d) / (1 + γ) so that an infinite γ is no exception."""
        rank = torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim
        return torch.log1p(-(1 - rank) / (1 + self.gamma)) / self.scale_base

    @property
    def decay_block(self) -> int:
        """B: over one block a key grows by 1/ζ at most."""
        return self.scale_base

    @property
    def causal_only(self) -> bool:
        """Scores of keys ahead would grow with distance."""
        return True

    def changes_nothing(self, length: int) -> bool:
        """No pair fades."""
        return self.gamma == inf
