"""Way: how a search went: every rating, and the lowest cost after each batch."""

from collections.abc import Sequence

from longspan.search.cost import Rating
from longspan.search.strategies.strategy import Strategy
from longspan.search.summary import Trajectory


class Way:
    """A strategy and everything that it was given.

    Arguments:
        starts: the ratings of its starts, in their order.
    """

    def __init__(self, strategy: Strategy, starts: Sequence[Rating]) -> None:
        self.strategy, self._starts = strategy, tuple(starts)
        self._candidates: list[Rating] = []
        self._best = [min(rating.cost for rating in starts)]
        self._converged = False
        strategy.begin([rating.cost for rating in starts])

    def ask(self) -> tuple[str, ...]:
        """Return the next batch; none where the strategy has come to its end."""
        asked = self.strategy.ask()
        self._converged = not asked
        return asked

    def tell(self, ratings: Sequence[Rating]) -> None:
        """Take the ratings of the batch."""
        self.strategy.tell([rating.cost for rating in ratings])
        self._candidates += ratings
        self._best.append(min(self._best[-1], *(rating.cost for rating in ratings)))

    @property
    def found(self) -> Rating:
        """The lowest cost; of equal ones the first, so that a candidate is better than every start."""
        return min((*self._starts, *self._candidates), key=lambda rating: rating.cost)

    @property
    def trajectory(self) -> Trajectory:
        """The way, as a summary has it."""
        failed: dict[str, int] = {}
        for rating in self._candidates:
            if rating.failed:
                failed[rating.failed] = failed.get(rating.failed, 0) + 1
        return Trajectory(len(self._candidates), tuple(self._best), failed, self._converged)
