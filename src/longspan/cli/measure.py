"""`longspan measure [MODEL]`: how well a model, with and without methods, does tasks at several lengths."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longspan.cli.terminal import answer, quiet_libraries, resumable
from longspan.cli.values import Device, Json, Out, Ray, Texts, TrainedLength, tokens_option
from longspan.errors import InputError
from longspan.registry import names_in

if TYPE_CHECKING:
    from longspan.survey.summary import Survey

PACKAGES = {
    "Tasks": "longspan.tasks",
    "Losses": "longspan.measure.reductions",
    "Diagnostics": "longspan.measure.diagnostics",
}
NAMES = "\n\n".join(f"{what}: {', '.join(names_in(package))}." for what, package in PACKAGES.items())
"""What may be named, below the options of `--help`."""


def measure(
    model: Annotated[str, typer.Argument(help="A Hugging Face id, a folder, a .gguf file, or 'bundled'.")] = "bundled",
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A scheme beside the plain model; repeatable.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="A task named below, as in niah_depths or \"qa(path='squad.json')\"; repeatable."),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option("--loss", help="A loss named below, as in last_k or 'sliding(stride=64)'; repeatable."),
    ] = None,
    diagnostic: Annotated[
        list[str] | None,
        typer.Option("--diagnostic", help="A look inside, as in attention_entropy, on 4 documents; repeatable."),
    ] = None,
    length: Annotated[
        list[int] | None,
        tokens_option("--length", explained="As in 4096 or 4k; repeatable; the shortest gives the short score."),
    ] = None,
    text: Texts = None,
    docs: Annotated[int, typer.Option("--docs", help="Documents or examples, at most.")] = 32,
    out: Out = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Good enough is this share of the short score; 0.85 by default.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Good enough is this score, instead of a share.")
    ] = None,
    budget: Annotated[float, typer.Option("--budget", help="Minutes of measuring; run again to go on.")] = 30,
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where it is faster and as exact.")
    ] = "float32",
    trained_length: TrainedLength = None,
    device: Device = "auto",
    ray: Ray = None,
    lm_eval: Annotated[
        Path | None,
        typer.Option("--lm-eval", help="Write the tasks here as files of lm-evaluation-harness, and measure nothing."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure MODEL and methods on tasks and losses at several lengths, with certificates that hold at 95 %.

    A certificate says up to which length a score is good enough, and measuring stops as soon as that is decided.

    Examples:

        longspan measure MODEL --length 4k --length 16k
        longspan measure MODEL --method yarn --task niah_depths --loss last_k --length 4k --length 16k --text docs/
    """
    quiet_libraries()
    if share is not None and threshold is not None:
        raise InputError("give --share or --threshold, not both")
    with resumable():
        from longspan.cli.progress import Stderr
        from longspan.measure.statistics.effective import NOLIMA, Share, Threshold
        from longspan.report.survey import files
        from longspan.survey.request import Request
        from longspan.survey.run import run_survey, write_for_harness

        claim = Threshold(threshold) if threshold is not None else NOLIMA if share is None else Share(share)
        request = Request(
            model=model,
            command=shlex.join(["longspan", *sys.argv[1:]]),
            methods=tuple(method or ()),
            tasks=tuple(task or ()),
            losses=tuple(loss or ()),
            diagnostics=tuple(diagnostic or ()),
            lengths=tuple(length or ()),
            texts=tuple(text or ()),
            out=out,
            docs=docs,
            claim=claim,
            budget=budget,
            dtype=dtype,
            trained_length=trained_length,
            device=device,
            ray=ray,
        )
        if lm_eval is not None:
            for name in write_for_harness(request, Stderr(), lm_eval):
                answer(name)
            return
        survey = run_survey(request, Stderr(), files)
    if as_json:
        print(json.dumps(survey.json(), indent=2, allow_nan=False))
        return
    show(survey)
    answer(f"\nto share: {(request.folder / 'share.txt').resolve()}")


def show(survey: "Survey") -> None:
    """Print tables and sentences."""
    from rich.console import Console
    from rich.table import Table

    from longspan.report.printable import printable
    from longspan.report.survey import controls_of, guessing_of, legend, score
    from longspan.report.text import value

    console = Console(highlight=False, markup=False)
    lengths = survey.setting.lengths
    if survey.tasks:
        names = [*(str(n) for n in lengths), "guessing", f"controls at {lengths[-1]}"]
        table = Table("task", "method", *names, box=None)
        for row in survey.tasks:
            scores = [score(row.scores.get(n), row.failed) for n in lengths]
            table.add_row(row.task, printable(row.method), *scores, guessing_of(row), controls_of(row))
        console.print(table)
        for row in survey.tasks:
            answer(f"{row.task}, {row.method}: {row.sentence}.")
        answer(legend(survey))
    for what, rows in (("loss", survey.losses), ("diagnostic", survey.diagnostics)):
        table = Table(what, "method", *(str(n) for n in lengths), "unit", box=None)
        for row in rows:
            values = [value(row.values.get(n), row.failed) for n in lengths]
            table.add_row(row.name, printable(row.method), *values, row.unit)
        if rows:
            console.print(table)
