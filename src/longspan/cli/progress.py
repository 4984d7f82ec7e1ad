"""Progress on stderr: what is being measured, how much of it is done, and the time left.

A terminal shows a bar. Elsewhere (a file, a pipe, CI) each stage prints its first and its last line, and in between a
line every half minute, however long a measurement takes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from threading import Event, Thread
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from longspan.cli.terminal import PERIOD, is_live, say
from longspan.grid.pace import Pace
from longspan.measure.record import Asked
from longspan.report.printable import printable

TOKENS = Pace(1.0)
"""Makes the shares of a stage's time proportional to tokens, before anything was timed."""
LONGEST_NAME, ENDS = 90, (48, 28)
"""Characters of a measurement's name that a line shows; of a longer one, the first and the last."""
WIDEST_BAR, NARROWEST_BAR = 24, 6
FIXED = 40
"""Columns of the terminal that stage, percentage and times take."""


class Stderr:
    """The observer of a study that the command line runs (`longspan.grid.observer.Observer`)."""

    def say(self, text: str) -> None:
        """Print one line."""
        say(text)

    def watch(self, stage: str, asked: Sequence[Asked], made: Iterable[object], pace: Pace | None) -> None:
        """Show a bar on a terminal, and lines elsewhere, until `made` is exhausted."""
        names = [printable(str(each)) for each in asked]
        shares = [(pace or TOKENS).seconds(each) for each in asked]
        stand = Stand(stage, names, shares, timed=pace is not None)
        if is_live():
            bar(stand, made)
        else:
            lines(stand, made)


class Stand:
    """How far a stage is.

    Arguments:
        stage: its name.
        names: of its measurements, in their order; at least one.
        shares: of its time that each takes.
        timed: whether the shares are seconds.
        clock: seconds that pass.
    """

    def __init__(
        self,
        stage: str,
        names: Sequence[str],
        shares: Sequence[float],
        *,
        timed: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.stage, self.names, self.shares, self.timed, self.clock = stage, names, shares, timed, clock
        self.done, self.began = 0, clock()
        self._last_done = self.began

    def advance(self) -> None:
        """Note that a measurement is done."""
        self.done += 1
        self._last_done = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the stage began."""
        return self.clock() - self.began

    @property
    def current(self) -> str:
        """The measurement that is being made; empty where none is left."""
        return self.names[self.done] if self.done < len(self.names) else ""

    def left(self) -> float | None:
        """Return the seconds that are left, from those that passed; None where nothing was timed yet."""
        past, ahead = sum(self.shares[: self.done]), sum(self.shares[self.done :])
        if past > 0:
            ahead *= (self._last_done - self.began) / past
        elif not self.timed:
            return None
        return max(0.0, ahead - (self.clock() - self._last_done))

    def left_text(self) -> str:
        """Return the seconds that are left as text; measurements may take longer than was expected."""
        left = self.left()
        if left is None:
            return f"{duration(self.elapsed)} so far"
        if left == 0.0 and self.current:
            return f"{duration(self.elapsed)} so far, longer than expected"
        return f"{duration(left)} left"

    def line(self) -> str:
        """Return a line about it."""
        return f"{self.stage}: {self.done} of {len(self.names)} done, {self.left_text()}; now {brief(self.current)}"


def brief(name: str) -> str:
    """Return a name, the middle left out where it is long: a scheme that a search found has a number for each pair.

    >>> brief("longrope(short=(" + "1.0, " * 32 + ")) · reading 1024")
    'longrope(short=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1. … 1.0, 1.0, )) · reading 1024'
    """
    return name if len(name) <= LONGEST_NAME else f"{name[: ENDS[0]]} … {name[-ENDS[1] :]}"


class _Left(TextColumn):
    """The time left in a column of its own."""

    def __init__(self, stand: Stand) -> None:
        super().__init__("", markup=False, table_column=Column(no_wrap=True))
        self.stand = stand

    def render(self, task: Any) -> Any:
        """Return the cell."""
        left = self.stand.left()
        self.text_format = "-:--:-- left" if left is None else f"{duration(left)} left"
        return super().render(task)


def bar(stand: Stand, made: Iterable[Any], console: Console | None = None) -> None:
    """Show a bar until `made` is exhausted; names of measurements are cut to the room that is left of a line."""
    console = console or Console(stderr=True)
    fixed = Column(no_wrap=True)
    columns = (
        TextColumn("{task.fields[stage]}", markup=False, table_column=fixed),
        BarColumn(bar_width=max(NARROWEST_BAR, min(WIDEST_BAR, (console.width - FIXED) // 2))),
        TaskProgressColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _Left(stand),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        task = progress.add_task(stand.current, total=sum(stand.shares), stage=stand.stage)
        for _ in made:
            progress.advance(task, stand.shares[stand.done])
            stand.advance()
            progress.update(task, description=stand.current)


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Act again and again beside what the context does."""
    over = Event()

    def repeat() -> None:
        while not over.wait(seconds):
            act()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def lines(
    stand: Stand,
    made: Iterable[Any],
    repeated: Callable[[float, Callable[[], None]], AbstractContextManager[None]] = every,
) -> None:
    """Print lines until `made` is exhausted, none of them twice."""
    expected = f", about {duration(sum(stand.shares))}" if stand.timed else ""
    count = len(stand.names)
    say(f"{stand.stage}: {count} measurement{'s' if count > 1 else ''}{expected}; first {stand.current}")
    with repeated(PERIOD, lambda: say(stand.line()) if stand.current else None):
        for _ in made:
            stand.advance()
    say(f"{stand.stage}: {count} of {count} done in {duration(stand.elapsed)}")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(754.6)
    '0:12:35'
    """
    return str(timedelta(seconds=round(seconds)))
