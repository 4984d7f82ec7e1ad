"""Learned: each head learns the factor on its scores, in place of 1/√head_dim.

    scale_h = g_h                                   starts at g = log₂(L² − L)

Source: Henry et al. 2020, "Query-Key Normalization for Transformers", arXiv:2010.04245, section 3 (with normalized
queries and keys: `cosine + learned`).
Differs from the paper: L is the trained length, not the 97.5th percentile of the training data's lengths; one factor
per head instead of a single one.
"""

from dataclasses import dataclass, replace
from math import log2

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Scale, Weights


@dataclass(frozen=True)
class Learned(Scale):
    """Neutral: initial = 1/√head_dim, before training.

    Arguments:
        initial: g at the start of training (left open: log₂(L² − L), L the trained length).

    >>> Learned(initial=10.0).initial_weights(num_heads=2, head_dim=64)["factor"].tolist()
    [10.0, 10.0]
    """

    initial: float | None = None

    def fill(self, geometry: Geometry, length: int) -> "Learned":
        """The paper's start where left open."""
        pairs = max(2, geometry.trained_length * (geometry.trained_length - 1))
        return replace(self, initial=log2(pairs)) if self.initial is None else self

    def __call__(self, base: float, weights: Weights) -> Float64[Tensor, "1 heads 1"]:
        """Each head's own factor, whatever the model's own number."""
        return weights["factor"].double()[None, :, None]

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """One factor per head, all at `initial`."""
        return {"factor": torch.full((num_heads,), float(self.known(self.initial, "initial")))}
