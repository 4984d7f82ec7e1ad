"""Model spectrum: the frequencies that a pretrained model turns with, as they stand in its buffers.

    R(p) turns pair i by p · f_i        f_i and the gain read off the model

Source: the model itself.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import Rotation


@dataclass(frozen=True)
class ModelSpectrum(Rotation):
    """Neutral: it is what the model does.

    Arguments:
        own: frequencies in radians per token, one per channel pair.
        own_gain: factor on turned queries and keys (YaRN and LongRoPE checkpoints).

    >>> ModelSpectrum(own=(1.0, 0.01)).frequencies(4).tolist()
    [1.0, 0.01]
    """

    own: tuple[float, ...] = ()
    own_gain: float = 1.0

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """As read."""
        return torch.tensor(self.own, dtype=torch.float64)

    @property
    def gain(self) -> float:
        """As read."""
        return self.own_gain
