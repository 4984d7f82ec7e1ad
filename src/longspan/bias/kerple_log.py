"""KERPLE, logarithmic: a penalty that grows with the logarithm of the distance, its shape learned per head.

    bias_h(r) = −p_h · ln(1 + a_h · |r|)            p, a > 0

Source: Chi et al. 2022, "KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation", arXiv:2205.09921,
eq. 4; starting values and bounds from the authors' code (p from U(0, 2), a from U(0, 1), both at least 0.01).
Differs from the paper: the authors move the stored numbers back to the bound before each use; here the bound acts on
use, with the same values and the same gradients, and what is stored may lie outside.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.slots import ScoreBias, Weights

LOWEST = 0.01
"""What p and a are kept above."""


def bounded(weight: Float[Tensor, " heads"], highest: float = inf) -> Float[Tensor, " heads"]:
    """`weight` moved into [LOWEST, highest], with a gradient of one everywhere.

    A plain clamp would give no gradient outside and leave a head that once stepped there dead.
    """
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    with torch.no_grad():
        inside = weight.clamp(LOWEST, highest)
    return inside + (weight - weight.detach())


@dataclass(frozen=True)
class KerpleLog(ScoreBias):
    """Neutral: a → 0.

    >>> numbers = {"p": torch.tensor([2.0]), "a": torch.tensor([1.0])}
    >>> KerpleLog()(torch.tensor([0, 1, 3]), torch.tensor(0), 1, numbers) / torch.tensor(2.0).log()
    tensor([-0., -2., -4.])
    """

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """−p ln(1 + a |i − j|)."""
        p, a = bounded(weights["p"])[head], bounded(weights["a"])[head]
        return -p * (a * relative.abs().to(a.dtype)).log1p()

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """p from U(0, 2) and a from U(0, 1)."""
        p, a = torch.rand(2, num_heads, generator=generator)
        return {"p": 2 * p, "a": a}
