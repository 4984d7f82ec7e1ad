"""The slot `qk_norm`: how are queries and keys normalized before they are rotated?"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from longspan.slots.part import Part, Weights
from longspan.slots.scale import Scale


@dataclass(frozen=True)
class QKNorm(Part):
    """How are queries and keys normalized before they are rotated?"""

    slot: ClassVar[str] = "qk_norm"

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The normalized query."""
        return query

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The normalized key."""
        return key

    def brings(self) -> Scale | None:
        """The scale that its paper uses with it; None where that is 1/√head_dim."""
        return None
