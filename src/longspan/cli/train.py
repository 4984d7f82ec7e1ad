"""`longspan train FILE.toml`: train any design at a short length, and measure it far beyond."""

import json
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from longspan.cli.terminal import Ticker, answer, quiet_libraries, resumable, say

if TYPE_CHECKING:
    from longspan.survey.summary import Survey
    from longspan.train.run import Run


def train(
    file: Annotated[Path, typer.Argument(help="Settings: a TOML file with [model], [design], [data], [training].")],
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
    """
    quiet_libraries()
    with resumable():
        from longspan.train.run import Run
        from longspan.train.settings import read_settings

        settings = read_settings(file)
        folder = out or Path(f"longspan-train-{file.stem}")
        run = Run(settings, folder)
        say(f"{run.parameters} parameters, {len(run.texts.tokens)} tokens, {settings.design.plan}; results in {folder}")
        _train(run)
        survey = _measured(run) if measure and settings.data.test else None
    if as_json:
        found = {"steps": run.step, "model": str(folder / "model"), "survey": survey and survey.json()}
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    answer(f"trained: {(folder / 'model').resolve()}")


def _train(run: "Run") -> None:
    """Train, and show the loss, the speed and the time left."""
    from longspan.cli.progress import duration

    training = run.settings.training
    tokens, first = training.batch * training.length, run.step
    ticker, began = Ticker(), monotonic()
    for step in run.train():
        each = (monotonic() - began) / (step.step - first)
        ticker(
            f"step {step.step} of {training.steps} · loss {step.loss:.3f} · {tokens / each:.0f} tokens/s · "
            f"{duration(each * (training.steps - step.step))} left"
        )
    ticker.clear()
    if run.step > first:
        seconds = monotonic() - began
        say(f"{run.step - first} steps in {duration(seconds)}, {(run.step - first) * tokens / seconds:.0f} tokens/s")


def _measured(run: "Run") -> "Survey":
    """Measure the trained model on the test texts, as `longspan measure` does."""
    from longspan.cli.measure import show
    from longspan.cli.progress import Stderr
    from longspan.report.survey import files
    from longspan.survey.request import Request
    from longspan.survey.run import run_survey

    settings = run.settings
    request = Request(
        model=str(run.folder / "model"),
        command=f"longspan train ({run.folder})",
        methods=settings.test.methods,
        losses=settings.test.losses,
        lengths=settings.lengths,
        texts=tuple(map(Path, settings.data.test)),
        out=run.folder / "measured",
        docs=settings.test.docs,
    )
    survey = run_survey(request, Stderr(), files)
    show(survey)
    return survey
