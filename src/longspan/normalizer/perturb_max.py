"""Perturb-max: the probability that a score is the largest one after noise has been added to all of them.

    weight_j = P( s_j + ε_j ≥ s_k + ε_k for all k ) = E_ε[ Π_{k ≠ j} Φ(s_j − s_k + ε) ]      Φ the noise's distribution

Gumbel noise gives softmax. Normal noise has lighter tails: far below the largest score weights fall like e^{−s²/4}.

Source: kexue.fm/archives/10145, "perturb-max"; with normal noise kexue.fm/archives/9098, after EXACT, arXiv:2201.03435.
The expectation is computed by Gauss–Hermite quadrature, whose nodes are all used at once.
"""

from dataclasses import dataclass
from math import inf, pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights, in_rows_with_keys

LOWEST = -64.0
"""Φ is zero here in float64; much lower, log Φ has an infinite derivative, which times zero is NaN."""


@dataclass(frozen=True)
class PerturbMax(Normalizer):
    """Neutral: none; scores that are all the same share equally, as under softmax.

    Arguments:
        sigma: σ, standard deviation of the normal noise; small numbers give the largest score everything. The default
            is that of Gumbel noise, π/√6.
        nodes: of the quadrature.

    >>> import torch
    >>> PerturbMax()(torch.zeros(1, 1, 1, 4), {}).tolist()
    [[[[0.25, 0.25, 0.25, 0.25]]]]
    """

    sigma: float = pi / 6**0.5
    nodes: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sigma > 0, "sigma", "above 0")
        self.require(4 <= self.nodes <= 64, "nodes", "4 to 64")

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(self._normalized, scores)

    def _normalized(self, scores: Tensor) -> Tensor:
        absent = scores == -inf
        # The distribution's logarithm exists in float32 and float64 only.
        exact = torch.promote_types(scores.dtype, torch.float32)
        z = scores.masked_fill(absent, 0.0).to(exact) / self.sigma
        at, share = np.polynomial.hermite_e.hermegauss(self.nodes)
        total = torch.zeros_like(z)
        for place, weight in zip(at.tolist(), (share / share.sum()).tolist(), strict=True):
            # log Φ(z_j − z_k + ε), (…, j, k); a key that is absent lets all others pass.
            passed = torch.special.log_ndtr((z[..., :, None] - z[..., None, :] + place).clamp(min=LOWEST))
            passed = passed.masked_fill(absent[..., None, :], 0.0)
            own = torch.special.log_ndtr(torch.tensor(place, dtype=torch.float64)).item()
            total = total + weight * (passed.sum(-1) - own).exp()
        total = total.masked_fill(absent, 0.0)
        return (total / total.sum(-1, keepdim=True)).to(scores.dtype)
