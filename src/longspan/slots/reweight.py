"""The slot `reweight`: what are the weights multiplied with afterwards?"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int64
from torch import Tensor

from longspan.slots.part import Part, Weights


@dataclass(frozen=True)
class Reweight(Part):
    """What are the weights multiplied with afterwards?"""

    slot: ClassVar[str] = "reweight"

    @property
    def constant_beyond(self) -> int | None:
        """The distance to the past from which on the factor no longer changes; None where it always changes."""
        return None

    @abstractmethod
    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """The factor for relative = i − j and head = 0 … num_heads − 1; broadcasts."""
