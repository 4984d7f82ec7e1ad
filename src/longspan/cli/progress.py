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
from longspan.measure.kinds import Measurement
from longspan.report.printable import printable
from longspan.study.folder import Study
from longspan.study.pace import Pace

TOKENS = Pace(1.0)
"""As if a token took a second: shares of a stage's time before anything was timed."""


def show(study: Study, stage: str, planned: Iterable[Measurement], pace: Pace | None = None) -> None:
    """Make the missing measurements of a stage, which take as long as `pace` says; None where that is not known yet."""
    missing = study.missing(planned)
    if not missing:
        return
    names = [printable(str(asked)) for asked in missing]
    shares = [(pace or TOKENS).seconds(asked) for asked in missing]
    if is_live():
        _bar(stage, names, shares, study.run(missing))
    else:
        _lines(stage, names, shares, study.run(missing), timed=pace is not None)


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
    """Arguments: `timed` is whether the shares are seconds."""
    began = told = clock()
    expected = f", about {_duration(sum(shares))}" if timed else ""
    say(f"{stage}: {len(names)} measurement{'s' if len(names) > 1 else ''}{expected}; first {names[0]}")
    for number, _ in enumerate(made, start=1):
        now = clock()
        if number < len(names) and now - told >= PERIOD:
            left = (now - began) * sum(shares[number:]) / sum(shares[:number])
            say(f"{stage}: {number} of {len(names)} done, {_duration(left)} left; next {names[number]}")
            told = now
    say(f"{stage}: {len(names)} of {len(names)} done in {_duration(clock() - began)}")


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(754.6)
    '0:12:35'
    """
    return str(timedelta(seconds=round(seconds)))
