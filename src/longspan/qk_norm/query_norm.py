"""QueryNorm: queries lose their length, so that none can be sharper than another.

    score(i, j) = ⟨ q_i / ‖q_i‖, k_j ⟩              without 1/√d

Source: Su 2023, "Transformer upgrade road 15: Key normalization helps length extrapolation", kexue.fm/archives/9859
(the control beside KeyNorm; it does not help).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from longspan.qk_norm.key_norm import unit
from longspan.scale.unscaled import Unscaled
from longspan.slots import QKNorm, Weights


@dataclass(frozen=True)
class QueryNorm(QKNorm):
    """Neutral: none. Brings `unscaled`.

    >>> import torch
    >>> QueryNorm().query(torch.tensor([0.0, 5.0]), {}).tolist()
    [0.0, 1.0]
    """

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The query at length one."""
        return unit(query)

    def brings(self) -> Unscaled:
        """No 1/√d: the score's size is the key's own."""
        return Unscaled()
