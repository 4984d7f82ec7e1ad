"""Model spectrum: the frequencies that a pretrained model rotates with, read from its buffers.

    R(p) rotates pair i by p · f_i        f_i and the gain are the model's

Source: the model itself.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class ModelSpectrum(RotaryEmbedding):
    """The rotation of a model as it is: it changes nothing.

    Arguments:
        own: frequencies in radians per token, one per channel pair.
        own_gain: factor on rotated queries and keys (YaRN and LongRoPE checkpoints).

    >>> ModelSpectrum(own=(1.0, 0.01)).frequencies(4).tolist()
    [1.0, 0.01]
    """

    own: tuple[float, ...] = ()
    own_gain: float = 1.0

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Return the frequencies of the model, whatever the number of channels."""
        return torch.tensor(self.own, dtype=torch.float64)

    @property
    def gain(self) -> float:
        """The gain of the model."""
        return self.own_gain
