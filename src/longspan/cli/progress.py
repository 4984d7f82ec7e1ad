"""Progress on stderr: what is being measured, how far it is, and the time left."""

from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from longspan.cli.terminal import say
from longspan.measure.kinds import Measurement
from longspan.measure.pace import Pace
from longspan.report.study import Study


def show(study: Study, stage: str, planned: Iterable[Measurement], pace: Pace) -> None:
    """Make the missing measurements of a stage, which take the shares of its time that `pace` says."""
    missing = study.missing(planned)
    if not missing:
        return
    columns = (
        TextColumn("{task.fields[stage]}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    total = sum(map(pace.seconds, missing))
    with Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=120) as progress:
        task = progress.add_task("", total=total, stage=stage)
        progress.update(task, description=str(missing[0]))
        for number, _ in enumerate(study.run(missing), start=1):
            progress.advance(task, pace.seconds(missing[number - 1]))
            if number < len(missing):
                progress.update(task, description=str(missing[number]))
            if not console.is_terminal and (number % 20 == 0 or number == len(missing)):
                say(f"{stage}: {number} of {len(missing)}")
