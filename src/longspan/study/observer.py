"""Observer: how a study reports what it is doing, without knowing about terminals."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from longspan.measure.measurement import Measurement
from longspan.study.planning.pace import Pace


@runtime_checkable
class Observer(Protocol):
    """Shows a study's progress."""

    def say(self, text: str) -> None:
        """Show one line."""

    def watch(self, stage: str, asked: Sequence[Measurement], made: Iterable[object], pace: Pace | None) -> None:
        """Exhaust `made`, which makes one measurement after the other, and show how far it is.

        Arguments:
            stage: its name.
            asked: what `made` makes, in the same order; at least one.
            pace: how long each takes; None where nothing was timed yet.
        """
