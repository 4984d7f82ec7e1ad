"""The slot `cap`: what bounds the scores before the bias is added?"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from longspan.slots.part import Part


@dataclass(frozen=True)
class Cap(Part):
    """What bounds the scores before the bias is added?"""

    slot: ClassVar[str] = "cap"

    @abstractmethod
    def __call__(self, scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The bounded scores, elementwise."""

    @property
    def tanh_limit(self) -> float | None:
        """The limit where the cap is limit · tanh(s / limit), which kernels compute; None for another function."""
        return None
