"""KERPLE, power: a penalty that grows with a power of the distance, its shape learned per head.

    bias_h(r) = −a_h · |r|^p_h                      a > 0,  0 < p ≤ 2

Source: Chi et al. 2022, "KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation", arXiv:2205.09921,
eq. 3; starting values and bounds from the authors' code (p from U(0, 2), a from U(0, 1), both at least 0.01).
Differs from the paper: the authors move the stored numbers back to the bound before each use; here the bound acts on
use, with the same values and the same gradients, and what is stored may lie outside. Their code can also multiply the
score itself by exp(−a |r|^p); no slot of the equation multiplies scores by a function of the distance, so that kernel
is left out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.bias.kerple_log import bounded
from longspan.slots import ScoreBias, Weights

HIGHEST_POWER = 2.0
"""Above it the kernel is no longer conditionally positive definite."""


@dataclass(frozen=True)
class KerplePower(ScoreBias):
    """Neutral: a → 0. With p = 1 it is ALiBi with slope a.

    >>> numbers = {"p": torch.tensor([2.0]), "a": torch.tensor([0.5])}
    >>> KerplePower()(torch.tensor([0, 1, 4]), torch.tensor(0), 1, numbers)
    tensor([-0.0000, -0.5000, -8.0000])
    """

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """−a |i − j|^p."""
        p, a = bounded(weights["p"], HIGHEST_POWER)[head], bounded(weights["a"])[head]
        return -a * relative.abs().to(p.dtype).pow(p)

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """p from U(0, 2) and a from U(0, 1)."""
        p, a = torch.rand(2, num_heads, generator=generator)
        return {"p": 2 * p, "a": a}
