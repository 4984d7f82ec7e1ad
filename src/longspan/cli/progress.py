"""Progress on stderr: what is being measured, how much of it is done, and the time left.

A terminal shows a bar. Elsewhere (a file, a pipe, CI) each stage prints its first and its last line, and in between a
line per finished measurement, at most one a minute.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from longspan.cli.terminal import PERIOD, is_live, say
from longspan.grid.pace import Pace
from longspan.measure.record import Asked
from longspan.report.printable import printable

TOKENS = Pace(1.0)
"""Makes the shares of a stage's time proportional to tokens, before anything was timed."""


class Stderr:
    """The observer of a study that the command line runs (`longspan.grid.observer.Observer`)."""

    def say(self, text: str) -> None:
        """Print one line."""
        say(text)

    def watch(self, stage: str, asked: Sequence[Asked], made: Iterable[object], pace: Pace | None) -> None:
        """Show a bar on a terminal, and lines elsewhere, until `made` is exhausted."""
        names = [printable(str(each)) for each in asked]
        shares = [(pace or TOKENS).seconds(each) for each in asked]
        if is_live():
            _bar(stage, names, shares, made)
        else:
            _lines(stage, names, shares, made, timed=pace is not None)


def _bar(stage: str, names: Sequence[str], shares: Sequence[float], made: Iterable[Any]) -> None:
    columns = (
        TextColumn("{task.fields[stage]}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=120) as progress:
        task = progress.add_task(names[0], total=sum(shares), stage=stage)
        for number, _ in enumerate(made, start=1):
            progress.advance(task, shares[number - 1])
            if number < len(names):
                progress.update(task, description=names[number])


def _lines(
    stage: str,
    names: Sequence[str],
    shares: Sequence[float],
    made: Iterable[Any],
    *,
    timed: bool,
    clock: Callable[[], float] = monotonic,
) -> None:
    """Print lines; `timed` says whether the shares are seconds."""
    began = last_line = clock()
    expected = f", about {_duration(sum(shares))}" if timed else ""
    say(f"{stage}: {len(names)} measurement{'s' if len(names) > 1 else ''}{expected}; first {names[0]}")
    for number, _ in enumerate(made, start=1):
        now = clock()
        if number < len(names) and now - last_line >= PERIOD:
            left = (now - began) * sum(shares[number:]) / sum(shares[:number])
            say(f"{stage}: {number} of {len(names)} done, {_duration(left)} left; next {names[number]}")
            last_line = now
    say(f"{stage}: {len(names)} of {len(names)} done in {_duration(clock() - began)}")


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(754.6)
    '0:12:35'
    """
    return str(timedelta(seconds=round(seconds)))
