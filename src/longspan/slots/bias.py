"""The slot `bias`: what is added to a pair's score, or to its key and value?"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Float64, Int64
from torch import Tensor

from longspan.slots.part import Part, Weights
from longspan.slots.scale import Scale


@dataclass(frozen=True)
class Bias(Part):
    """What is added to a pair's score? Either a `ScoreBias` or a `VectorBias`; both are functions of i − j only."""

    slot: ClassVar[str] = "bias"

    def brings(self) -> Scale | None:
        """The scale that its paper uses with it; None where that is 1/√head_dim."""
        return None

    @property
    def constant_beyond(self) -> int | None:
        """The distance to the past from which on the bias no longer changes; None where it always changes."""
        return None


@dataclass(frozen=True)
class ScoreBias(Bias):
    """A number for each head and distance."""

    @abstractmethod
    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """What is added, for relative = i − j and head = 0 … num_heads − 1; broadcasts."""

    def per_token(self, num_heads: int) -> Float64[Tensor, " heads"] | None:
        """What a head adds per token of distance, where its bias is proportional to |i − j|; None elsewhere."""
        return None


@dataclass(frozen=True)
class VectorBias(Bias):
    """A vector for each distance, added to keys (`weights["key"]`) and to values (`weights["value"]`).

    From `constant_beyond` on, all pairs of one side (past or future) share a row.
    """

    @abstractmethod
    def row(self, relative: Tensor) -> Int64[Tensor, "..."]:
        """Which row of the tables belongs to relative = i − j."""
