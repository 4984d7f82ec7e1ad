"""cosFormer: linear attention whose weights fall with the distance as a cosine does.

    weight(i, j) ∝ relu(q_i)ᵀ relu(k_j) · cos(π/2 · (i − j) / M)
    φ(x_i) = ( relu(x) sin(π i / 2M), relu(x) cos(π i / 2M) ),  i = 1, 2 …        |denominators| are at least 1e-6

Source: Qin et al. 2022, "cosFormer: Rethinking Softmax in Attention", arXiv:2202.08791; the authors' code.
Differs from the paper: M is a number of the model instead of the length of each text, which would change all weights
with every token. Beyond M tokens the cosine is negative: what is far then counts against what is near, denominators
may be negative too, and keep their sign.
"""

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.recurrence.feature_attention import FeatureAttention

LEAST = 1e-6


@dataclass(frozen=True)
class CosFormer(FeatureAttention):
    """Neutral: trained_length → ∞, linear attention with relu.

    Arguments:
        trained_length: M, tokens (left open: the model's).

    >>> CosFormer(512).num_features(64)
    128
    """

    sees_place: ClassVar[bool] = True
    trained_length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "trained_length")

    def num_features(self, head_dim: int) -> int:
        """A sine and a cosine of each channel."""
        return 2 * head_dim

    def features(self, x: Float[Tensor, "*axes width"], place: Int64[Tensor, "*places"]) -> Float[Tensor, "*axes out"]:
        """relu(x) times sine and cosine."""
        longest = self.known(self.trained_length, "trained_length")
        angle = ((place + 1).double() * (pi / 2 / longest))[..., None]
        kept = torch.relu(x)
        return torch.cat([kept * angle.sin().to(x), kept * angle.cos().to(x)], -1)

    def normalized(self, sums: Float[Tensor, "*axes sums"]) -> Float[Tensor, "*axes width"]:
        """φ(q)ᵀ S / φ(q)ᵀ z, with the denominator kept away from 0."""
        total = sums[..., -1:]
        return sums[..., :-1] / torch.where(total < 0, total.clamp(max=-LEAST), total.clamp(min=LEAST))
