"""A strategy proposes candidates in batches and learns what each costs; it knows no model and no documents.

Equal costs lead to equal proposals, whenever and wherever they are measured: a search that was killed takes the same
way again.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Protocol, runtime_checkable


@runtime_checkable
class Strategy(Protocol):
    """Proposes candidates, as the text of a scheme or a plan."""

    @property
    def starts(self) -> tuple[str, ...]:
        """Known methods that the search starts from."""
        ...

    @property
    def batch(self) -> int:
        """How many candidates are proposed at once."""
        ...

    def begin(self, costs: Sequence[float]) -> None:
        """Take what the starts cost, once and before the first batch; infinity for one that failed."""

    def ask(self) -> tuple[str, ...]:
        """Return the next batch; none where the search is over."""
        ...

    def tell(self, costs: Sequence[float]) -> None:
        """Take what the last batch cost, in its order; infinity for a candidate that failed."""


def ranked(costs: Sequence[float]) -> list[float]:
    """Return finite costs in the same order: a candidate that failed is worse than all that did not.

    >>> ranked([2.0, float("inf"), 1.0])
    [2.0, 3.0, 1.0]
    """
    worst = max(filter(isfinite, costs), default=0.0)
    return [cost if isfinite(cost) else worst + 1.0 for cost in costs]
