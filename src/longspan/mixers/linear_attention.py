"""Linear attention: the weight of a pair is a product of features, so that a state of fixed size holds the past.

    y_t = φ(q_t)ᵀ S_t / (φ(q_t)ᵀ z_t + ε)        S_t = S_{t−1} + φ(k_t) v_tᵀ,  z_t = z_{t−1} + φ(k_t)

    elu       φ(x) = elu(x) + 1,  ε = 1e-6
    cosine    φ(x) = (1, x / |x|): the weight is 1 + cos(q, k),  ε = 0

Source: Katharopoulos et al. 2020, "Transformers are RNNs", arXiv:2006.16236, (elu; ε from the authors' code);
kexue.fm/archives/7546 (cosine).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.recurrence.feature_attention import FeatureAttention

EPSILON = 1e-6


@dataclass(frozen=True)
class LinearAttention(FeatureAttention):
    """Neutral: none; every setting replaces softmax attention.

    Arguments:
        feature: the feature map φ: "elu" or "cosine".

    >>> LinearAttention().modes
    ('recurrent', 'chunk', 'parallel')
    """

    feature: Literal["elu", "cosine"] = "elu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.feature in ("elu", "cosine"), "feature", "'elu' or 'cosine'")

    def num_features(self, head_dim: int) -> int:
        """head_dim, and one more for the cosine."""
        return head_dim + (self.feature == "cosine")

    def features(self, x: Float[Tensor, "*axes width"], place: Int64[Tensor, "*places"]) -> Float[Tensor, "*axes out"]:
        """elu(x) + 1, or (1, x / |x|)."""
        if self.feature == "elu":
            return torch.nn.functional.elu(x) + 1
        return torch.cat([torch.ones_like(x[..., :1]), torch.nn.functional.normalize(x, dim=-1)], -1)

    def normalized(self, sums: Float[Tensor, "*axes sums"]) -> Float[Tensor, "*axes width"]:
        """φ(q)ᵀ S / (φ(q)ᵀ z + ε)."""
        return sums[..., :-1] / (sums[..., -1:] + (EPSILON if self.feature == "elu" else 0.0))
