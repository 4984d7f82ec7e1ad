"""The slot `sharpness`: how much larger are the scores of a query that sees more keys?"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.slots.part import Part, Weights


@dataclass(frozen=True)
class Sharpness(Part):
    """How much larger are the scores of a query that sees more keys? A factor on top of the scale."""

    slot: ClassVar[str] = "sharpness"

    @abstractmethod
    def __call__(
        self, visible: Int64[Tensor, "batch 1 queries"], weights: Weights
    ) -> Float64[Tensor, "batch #heads queries"]:
        """Each query's factor; `visible` counts the keys that the query sees."""
