"""`longspan train FILE.toml`: train any design at a short length, and measure it far beyond."""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Annotated

import typer

from longspan.cli.measure import show
from longspan.cli.terminal import Ticker, answer, quiet_libraries, resumable, say
from longspan.errors import InputError

if TYPE_CHECKING:
    from longspan.survey.request import Request
    from longspan.survey.summary import Survey
    from longspan.train.comparison import Row
    from longspan.train.exams.exam import Exam
    from longspan.train.grid import Cell
    from longspan.train.processes.group import Processes
    from longspan.train.run import Run
    from longspan.train.settings import Settings

PATIENCE = 10.0
"""Seconds that a process waits before it reports an error that the first one has reported too."""


def train(
    file: Annotated[
        Path, typer.Argument(help="A TOML file with \\[model], \\[design], \\[data], \\[training], \\[test].")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; a second call resumes. By default FILE's name.")
    ] = None,
    measure: Annotated[bool, typer.Option(help="Measure the trained model on data.test afterwards.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the last step and the measurements as JSON.")] = False,
) -> None:
    """Train the model that FILE describes, and measure its loss far beyond the trained length.

    A minimal file:

        [model]
        architecture = "llama"
        hidden_size = 128
        intermediate_size = 352
        num_hidden_layers = 4
        num_attention_heads = 4

        [design]
        plan = "alibi"                # whatever `longspan methods` lists

        [data]
        train = ["novels/"]
        test = ["held-out/"]

        [training]
        length = 256
        steps = 500

    With [grid] and [grid.designs.NAME] it trains several designs with several seeds and compares them in one table.

    Several processes, on one GPU each or on CPUs, train one model together, or the cells of a grid one after the other;
    [parallel] says what they share:

        torchrun --nproc-per-node 4 -m longspan train FILE.toml
    """
    quiet_libraries()
    if "RANK" in os.environ:  # PyTorch warns of parameters that might be unused, in every process
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with resumable(), _one_voice():
        from longspan.train.grid import read_grid
        from longspan.train.processes.launch import joined
        from longspan.train.settings import read_settings

        folder = out or Path(f"longspan-train-{file.stem}")
        if cells := read_grid(file):
            _grid(cells, folder, as_json)
            return
        settings = read_settings(file)
        with joined(settings) as processes:
            run = _trained(settings, folder, processes)
        if not run.processes.first:
            return
        survey = _measured(run) if measure else None
    if as_json:
        found = {"steps": run.step, "model": str(folder / "model"), "survey": survey and survey.json()}
        if measure and settings.has_exam:
            found["exam"] = [row.json() for row in _exam_rows(run)]
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    if survey is not None:
        show(survey)
    elif measure and settings.has_exam:
        _show(_exam_rows(run), settings.lengths)
    answer(f"trained: {(folder / 'model').resolve()}")


@contextmanager
def _one_voice() -> Iterator[None]:
    """Let the first of several processes say what is wrong: torchrun ends the others while they wait here."""
    try:
        yield
    except Exception:
        if int(os.environ.get("RANK", "0")):
            sleep(PATIENCE)
        raise


def _grid(cells: Sequence["Cell"], folder: Path, as_json: bool) -> None:
    """Train and measure each cell that is not finished, and show the table of what is.

    Several commands may be given the same grid: each cell is made by one of them. The processes of torchrun make every
    cell together; the first one measures and writes.
    """
    from longspan.train.comparison import compare
    from longspan.train.processes.launch import joined_for

    if not cells[0].settings.data.test and not cells[0].settings.has_exam:
        raise InputError("a grid compares what it measures: give texts in data.test")
    lengths, rows, first = cells[0].settings.lengths, (), True
    with joined_for([cell.settings for cell in cells]) as divide:
        for number, cell in enumerate(cells, start=1):
            processes = divide(cell.settings)
            _cell(cell, f"cell {number} of {len(cells)}: {cell.name}, seed {cell.seed}", folder, processes)
            if first := processes.first:
                rows = compare(cells, folder)
                _write(cells, rows, folder)
    if not first:
        return
    if as_json:
        print(json.dumps([row.json() for row in rows], indent=2, allow_nan=False))
        return
    _show(rows, lengths)
    answer(f"\ntable: {(folder / 'table.md').resolve()}")


def _cell(cell: "Cell", name: str, folder: Path, processes: "Processes") -> None:
    """Train and measure a cell, unless it is finished or in the hands of another command."""
    from longspan.train.comparison import is_measured, summaries
    from longspan.train.grid import held

    own = folder / cell.folder
    with held(own) if processes.first else nullcontext(False) as mine:
        if processes.first and not mine:
            say(f"{name}, is made by another process")
        if not processes.agreed(mine and not is_measured(cell, own)):
            return
        if processes.first:
            say(name)
        if processes.first:
            for summary in summaries(cell, own):  # of another table [test], or there is none
                summary.unlink(missing_ok=True)
        run = _trained(cell.settings, own, processes)
        if processes.first:
            _measured(run)
            _measure_context(run)


def _write(cells: Sequence["Cell"], rows: Sequence["Row"], folder: Path) -> None:
    """Write what is known of a grid: tables, their numbers, curves, and which relations held."""
    from longspan.disk import write_atomically
    from longspan.report import designs
    from longspan.report.figures.designs import curves
    from longspan.report.palette import standalone
    from longspan.train.findings import findings

    found = findings(cells, rows, folder, shlex.join(["longspan", *sys.argv[1:]]))
    write_atomically(folder / "table.md", designs.page(found))
    write_atomically(folder / "seeds.md", designs.seeds(rows, found["lengths"]))
    write_atomically(folder / "grid.json", json.dumps(found, indent=2) + "\n")
    write_atomically(folder / "curves.svg", standalone(curves(rows, found["lengths"], found["trained_length"])))


def _show(rows: Sequence["Row"], lengths: Sequence[int]) -> None:
    """Print a table of designs."""
    from rich.console import Console
    from rich.table import Column, Table

    from longspan.report import designs
    from longspan.report.printable import printable

    head, *lines = designs.narrow(rows, lengths)
    table = Table(*(Column(name, overflow="fold") for name in head), box=None)  # a cut number is a wrong one
    for line in lines:
        table.add_row(*map(printable, line))
    Console(highlight=False, markup=False).print(table)


def _exam_rows(run: "Run") -> Sequence["Row"]:
    """What the exam of one run says, as rows of a table."""
    from longspan.train.comparison import compared
    from longspan.train.grid import Cell

    return compared([(Cell(run.settings.design.plan, run.settings.training.seed, run.settings), run.folder)])


def _trained(settings: "Settings", folder: Path, processes: "Processes") -> "Run":
    """Train, and show the loss, the speed and the time left."""
    from longspan.train.run import Run

    run = Run(settings, folder, processes)
    if processes.first:
        several = f", {processes.count} processes" if processes.count > 1 else ""
        say(f"{run.parameters} parameters, {settings.design.plan}{several}; results in {folder}")
        _watched(run)
    else:
        for _ in run.train():
            pass
    return run


def _watched(run: "Run") -> None:
    """Make all steps, and show each."""
    from longspan.cli.progress import duration

    steps, first, before = run.settings.steps, run.step, run.read
    ticker, began = Ticker(), monotonic()
    for step in run.train():
        each = (monotonic() - began) / (step.step - first)
        tokens = (run.read - before) / (step.step - first)
        ticker(
            f"step {step.step} of {steps} · loss {step.loss:.3f} · {tokens / each:.0f} tokens/s · "
            f"{duration(each * (steps - step.step))} left"
        )
    ticker.clear()
    if run.step > first:
        seconds = monotonic() - began
        made = run.step - first
        say(f"{made} steps in {duration(seconds)}, {(run.read - before) / seconds:.0f} tokens/s{_sent(run, made)}")


def _sent(run: "Run", steps: int) -> str:
    """What one of several processes sends to the others."""
    if run.processes.count == 1:
        return ""
    traffic, sequences = run.engine.traffic(run.settings.training.accumulate), run.sequences
    shared = 0.0 if sequences is None else sum(sequences.bytes_sent.values()) / steps
    parts = {"weights": traffic.weights, "gradients": traffic.gradients, "keys and values": shared}
    words = ", ".join(f"{size / 1e6:.2f} MB of {name}" for name, size in parts.items() if size)
    return f"; each step this process sends {words}"


def _measured(run: "Run") -> "Survey | None":
    """Measure the trained model: on its test texts as `longspan measure` does, or by its exam; None for the latter."""
    from longspan.train.comparison import MEASURED

    if (exam := run.exam) is not None:
        _taken(exam, run, MEASURED)
        return None
    return _survey(_request(run, run.settings, MEASURED)) if run.settings.data.test else None


def _measure_context(run: "Run") -> None:
    """Measure whether context helps the trained model, which no answer of a task says."""
    from longspan.train.comparison import CONTEXT, context_settings

    if (exam := run.context_exam) is not None:
        _taken(exam, run, CONTEXT)
    elif not run.settings.has_exam:
        _survey(replace(_request(run, context_settings(run.settings), CONTEXT), losses=("last_k",)))


def _taken(exam: "Exam", run: "Run", out: str) -> None:
    """Ask all questions of an exam."""
    ticker = Ticker()
    for done, count in exam.take(run.folder / "model", run.folder / out):
        ticker(f"question {done} of {count}")
    ticker.clear()


def _request(run: "Run", settings: "Settings", out: str) -> "Request":
    """What is measured of the trained model on its test texts."""
    from longspan.survey.request import Request

    return Request(
        model=str(run.folder / "model"),
        command=f"longspan train ({run.folder})",
        methods=settings.test.methods,
        losses=settings.test.losses,
        lengths=settings.lengths,
        texts=tuple(map(Path, settings.data.test)),
        out=run.folder / out,
        docs=settings.test.docs,
        budget=inf,  # what [test] asks for is measured; a run that was cut would count as finished
        device=settings.training.device,
    )


def _survey(request: "Request") -> "Survey":
    from longspan.cli.progress import Stderr
    from longspan.report.survey import files
    from longspan.survey.run import run_survey

    return run_survey(request, Stderr(), files)
