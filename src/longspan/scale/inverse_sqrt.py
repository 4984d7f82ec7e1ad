"""Inverse square root: scores divided by the root of the head's size.

    scale = 1 / √head_dim

Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
"""

from dataclasses import dataclass

from longspan.slots import Scale, Weights


@dataclass(frozen=True)
class InverseSqrt(Scale):
    """Neutral: the default scale. A model's own number, where one is given, takes its place."""

    def __call__(self, base: float, weights: Weights) -> float:
        """1/√head_dim, or the model's own number."""
        return base
