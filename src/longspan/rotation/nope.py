"""NoPE: no rotation at all; a causal mask alone tells tokens apart.

    R(p) = 1

Source: Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn Positional
Information", arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Rotation, Spectrum


@dataclass(frozen=True)
class NoPE(Rotation):
    """Neutral: always.

    >>> NoPE().spectrum(64).rotary_dim
    0
    """

    def fill(self, geometry: Geometry, length: int) -> "NoPE":
        """Nothing is open: without rotation no base matters."""
        return self

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """No pair turns."""
        return torch.zeros(0, dtype=torch.float64)

    def spectrum(self, head_dim: int) -> Spectrum:
        """Nothing turns, whatever the size of the head."""
        return Rotation.spectrum(self, 0)
