"""Make measurements in a fixed order, in this process or ahead of it elsewhere.

Workers may be ahead of the order; records are handed out in it. What is still needed is asked twice: before a
measurement starts, and when its turn comes. So the records that are kept are those that one process would have made,
however many workers there are and in whatever order they finish.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from longspan.measure.models.model import LoadedModel
from longspan.measure.record import Asked, record_of


@runtime_checkable
class Started(Protocol):
    """A measurement that was started."""

    def record(self) -> dict[str, Any]:
        """Return its record, and wait for it where it is not there yet."""
        ...


@runtime_checkable
class Workers(Protocol):
    """Who makes measurements."""

    @property
    def count(self) -> int:
        """How many measurements are made at the same time."""
        ...

    def start(self, asked: Asked) -> Started:
        """Start a measurement."""
        ...


class InProcess:
    """This process, one measurement after the other.

    Arguments:
        model: the model that is asked.
    """

    count = 1

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def start(self, asked: Asked) -> Started:
        """Start nothing: the measurement is made where its record is wanted."""
        return _Here(asked, self.model)


class _Here:
    def __init__(self, asked: Asked, model: LoadedModel) -> None:
        self.asked, self.model = asked, model

    def record(self) -> dict[str, Any]:
        return record_of(self.asked, self.model)


_Asked = TypeVar("_Asked", bound=Asked)


def made(
    workers: Workers, asked: Sequence[_Asked], needed: Callable[[_Asked], bool] = lambda asked: True
) -> Iterator[tuple[_Asked, dict[str, Any] | None]]:
    """Yield every measurement with its record, in order; None for one that is not needed.

    The caller keeps a record before it takes the next one: `needed` may depend on that.

    Arguments:
        needed: whether the records that were kept leave a measurement's answer open; once it is not, it never is.
    """
    waiting: deque[tuple[_Asked, Started | None]] = deque()
    rest = iter(asked)
    ahead = 1 if workers.count == 1 else 2 * workers.count  # each has its next measurement while the first is kept
    while True:
        while len(waiting) < ahead and (following := next(rest, None)) is not None:
            waiting.append((following, workers.start(following) if needed(following) else None))
        if not waiting:
            return
        first, started = waiting.popleft()
        yield first, (started or workers.start(first)).record() if needed(first) else None
