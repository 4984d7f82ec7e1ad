"""Observer: how a study or a survey reports what it is doing, without knowing about terminals."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from longspan.grid.pace import Pace
from longspan.measure.record import Asked


@runtime_checkable
class Observer(Protocol):
    """Shows progress."""

    def say(self, text: str) -> None:
        """Show one line."""

    def watch(self, stage: str, asked: Sequence[Asked], made: Iterable[object], pace: Pace | None) -> None:
        """Exhaust `made`, which makes one measurement after the other, and show how far it is.

        Arguments:
            stage: its name.
            asked: what `made` makes, in the same order; at least one.
            pace: how long each takes; None where nothing was timed yet.
        """
