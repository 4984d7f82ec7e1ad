"""The true distance: the difference of the two positions.

    distance(i, j) = i − j

Source: the ordinary reading of Su et al. 2021, arXiv:2104.09864.
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.slots import TRUE_BRANCHES, Branch, Distance


@dataclass(frozen=True)
class TrueDistance(Distance):
    """Neutral: always."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """i − j."""
        return query - key

    def branches(self) -> tuple[Branch, ...]:
        """One, everywhere."""
        return TRUE_BRANCHES
