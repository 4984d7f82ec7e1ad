"""Unscaled: scores are the plain products, without 1/√head_dim.

    scale = 1

Source: Raffel et al. 2019 (T5), arXiv:1910.10683, whose initial weights carry the factor; Su 2023,
kexue.fm/archives/9859 (KeyNorm).
"""

from dataclasses import dataclass

from longspan.slots import Scale, Weights


@dataclass(frozen=True)
class Unscaled(Scale):
    """Neutral: none."""

    def __call__(self, base: float, weights: Weights) -> float:
        """One, whatever the model's own number."""
        return 1.0
