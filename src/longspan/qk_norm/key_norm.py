"""KeyNorm: keys lose their length, so that only their direction can draw attention.

    score(i, j) = ⟨ q_i, k_j / ‖k_j‖ ⟩              without 1/√d

Source: Su 2023, "Transformer upgrade road 15: Key normalization helps length extrapolation", kexue.fm/archives/9859.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from longspan.scale.unscaled import Unscaled
from longspan.slots import QKNorm, Weights


def unit(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """x / ‖x‖ over the head's channels, computed in float32 at least; a zero vector stays zero.

    >>> unit(torch.tensor([3.0, 4.0])).tolist()
    [0.6, 0.8]
    """
    return normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1).to(x.dtype)


@dataclass(frozen=True)
class KeyNorm(QKNorm):
    """Neutral: none. Brings `unscaled`.

    >>> KeyNorm().key(torch.tensor([0.0, 5.0]), {}).tolist()
    [0.0, 1.0]
    """

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The key at length one."""
        return unit(key)

    def brings(self) -> Unscaled:
        """No 1/√d: the score's size is the query's own."""
        return Unscaled()
