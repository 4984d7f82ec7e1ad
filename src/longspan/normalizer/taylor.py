"""Taylor softmax: the exponential is replaced by its Taylor polynomial, which is a kernel of finitely many features.

    weight_j = t(s_j) / Σ_k t(s_k)        t(x) = Σ_{m ≤ k} x^m / m!,   k even, so that t > 0

Source: kexue.fm/archives/10145, "Taylor softmax"; de Brébisson & Vincent 2016, "An Exploration of Softmax Alternatives
Belonging to the Spherical Loss Family", arXiv:1511.05042 (k = 2); k = 2 is the feature map of Arora et al. 2024,
"Simple linear attention language models balance the recall-throughput tradeoff" (Based), arXiv:2402.18668.
Differs from the paper: scores are taken as max(s, x₀), x₀ the place of the smallest t, so that a larger score never
weighs less. Unlike softmax it changes when a constant is added to all scores. `floor=False` is the bare polynomial.
"""

from dataclasses import dataclass
from math import factorial, inf

import numpy as np
from jaxtyping import Float
from torch import Tensor

from longspan.memo import remember
from longspan.slots import Normalizer, Weights, in_rows_with_keys


@dataclass(frozen=True)
class Taylor(Normalizer):
    """Neutral: order → ∞, which is softmax.

    Arguments:
        degree: k, even.
        floor: whether scores below the smallest value of the polynomial are taken as if they were there.

    >>> import torch
    >>> Taylor()(torch.tensor([[[[0.0, 2.0, -torch.inf]]]]), {}).tolist()
    [[[[0.1666666716337204, 0.8333333134651184, 0.0]]]]
    """

    degree: int = 2
    floor: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.degree % 2 == 0 and 2 <= self.degree <= 16, "degree", "even and 2 to 16")

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Rows sum to one; a row without keys gives zeros."""
        return in_rows_with_keys(self._normalized, scores)

    def _normalized(self, scores: Tensor) -> Tensor:
        absent = scores == -inf
        x = scores.masked_fill(absent, 0.0)
        if self.floor:
            x = x.clamp(min=lowest(self.degree))
        # Everything is divided by the largest power, (size)^k, so that no power overflows.
        size = x.detach().abs().amax(-1, keepdim=True).clamp(min=1.0)
        ratio, total = x / size, None
        for power in range(self.degree, -1, -1):  # Horner: Σ ratio^m size^(m−k) / m!
            term = size.pow(power - self.degree) / factorial(power)
            total = term if total is None else total * ratio + term
        assert total is not None
        grown = total.masked_fill(absent, 0.0)
        return grown / grown.sum(-1, keepdim=True)


@remember(None)
def lowest(degree: int) -> float:
    """Return the place of the smallest value of the polynomial: the real root of its derivative."""
    roots = np.polynomial.Polynomial([1 / factorial(m) for m in range(degree)]).roots()
    return float(roots[np.argmin(np.abs(roots.imag))].real)
