"""The slot `distance`: which distance stands in a pair's rotation in place of the true one?

A distance is a function of two positions. For computing, the same function is written as *branches*: in each branch the
query and the key are rotated to mapped positions, and exactly one branch holds for each pair.
"""

from abc import abstractmethod
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from jaxtyping import Bool
from torch import Tensor

from longspan.errors import SchemeError
from longspan.position_map import Identity, PositionMap
from longspan.slots.part import Part


@dataclass(frozen=True)
class Band:
    """The pairs with start ≤ ⌊i / block⌋ − ⌊j / block⌋ < stop; blocks of one token round nothing."""

    start: float = -inf
    stop: float = inf
    block: int = 1

    def __call__(self, query: Tensor, key: Tensor) -> Bool[Tensor, "..."]:
        """Which pairs of positions lie in the band; broadcasts."""
        if self.block > 1:
            query, key = query // self.block, key // self.block
        difference = query - key
        return (difference >= self.start) & (difference < self.stop)


EVERYWHERE = Band()


@dataclass(frozen=True)
class Branch:
    """Where `holds`, the query is rotated to position `query(i)` and the key to position `key(j)`."""

    query: PositionMap
    key: PositionMap
    holds: Band

    def __post_init__(self) -> None:
        if self.query.sections != self.key.sections:
            raise SchemeError(
                f"queries are mapped in {self.query.sections} sections of the channel pairs, keys in "
                f"{self.key.sections}: give both as many"
            )

    @property
    def sections(self) -> int:
        """Sections of the channel pairs with positions of their own; 1 where all pairs share one."""
        return self.query.sections


TRUE_BRANCHES = (Branch(Identity(), Identity(), EVERYWHERE),)


@dataclass(frozen=True)
class Distance(Part):
    """Which distance stands in a pair's rotation in place of the true one?"""

    slot: ClassVar[str] = "distance"
    causal_only: ClassVar[bool] = False
    far_alike: ClassVar[bool] = False
    """Whether all pairs that are far enough apart have one distance, so that far keys need no positions."""
    by_section: ClassVar[bool] = False
    """Whether sections of the channel pairs have distances of their own."""

    @abstractmethod
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """The mapped distance of query and key positions; broadcasts. This is the definition.

        Where `by_section`, the result has one more axis: the distance in each section.
        """

    @abstractmethod
    def branches(self) -> tuple[Branch, ...]:
        """The same as plain rotations: exactly one branch holds for each pair."""

    def per_section(self) -> "tuple[Distance, ...]":
        """The distance in each section of the channel pairs, fastest pairs first."""
        return (self,)

    @property
    def is_true(self) -> bool:
        """Whether every pair keeps its true distance."""
        return self.branches() == TRUE_BRANCHES
