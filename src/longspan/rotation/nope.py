"""NoPE: no rotation at all; a causal mask alone tells tokens apart.

    R(p) = 1

Source: Haviv et al. 2022, "Transformer Language Models without Positional Encodings Still Learn Positional
Information", arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import Rotation, Spectrum


@dataclass(frozen=True)
class NoPE(Rotation):
    """Neutral: always.

    >>> NoPE().spectrum(64).rotary_dim
    0
    """

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """No pair rotates."""
        return torch.zeros(0, dtype=torch.float64)

    def spectrum(self, head_dim: int) -> Spectrum:
        """A spectrum without pairs, for any head size."""
        return Spectrum(self.frequencies(0), self.log_decay(0), self.axes(0), self.gain, "half", self.decay_block)
