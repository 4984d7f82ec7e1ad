"""The slot `scale`: what are all scores multiplied with, whatever the query sees?"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float64
from torch import Tensor

from longspan.slots.part import Part, Weights


@dataclass(frozen=True)
class Scale(Part):
    """What are all scores multiplied with, whatever the query sees?"""

    slot: ClassVar[str] = "scale"

    @abstractmethod
    def __call__(self, base: float, weights: Weights) -> Float64[Tensor, "1 heads 1"] | float:
        """The factor: one number, or one for each head. `base` is 1/√head_dim, or a model's own number."""
