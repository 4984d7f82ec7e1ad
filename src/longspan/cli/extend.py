"""`longspan extend [MODEL] --to N`: which method lets this model read N tokens, measured on your documents."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from longspan.cli.terminal import answer, quiet_libraries, resumable
from longspan.cli.values import Device, Json, Out, Ray, Texts, Tolerance, TrainedLength, tokens_option
from longspan.errors import InputError

Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16; auto takes the faster exact enough one.")]


def extend(
    model: Annotated[str, typer.Argument(help="A Hugging Face id, a folder, a .gguf file, or 'bundled'.")] = "bundled",
    to: Annotated[
        int | None,
        tokens_option("--to", explained="N: the number of tokens to read, as in 32768 or 32k."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A scheme to try, as in 'rerope + log_length'; repeatable.")
    ] = None,
    text: Texts = None,
    out: Out = None,
    docs: Annotated[int, typer.Option("--docs", help="Documents to judge on; fewer than 8 give no verdict.")] = 8,
    tolerance: Tolerance = 0.02,
    budget: Annotated[
        float, typer.Option("--budget", help="Minutes of measuring; what matters least is left out to keep to it.")
    ] = 30,
    dtype: Dtype = "auto",
    trained_length: TrainedLength = None,
    device: Device = "auto",
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Try every method that may let MODEL read N tokens, judge the best on your documents, write the extended model.

    The report compares them with the plain model and with truncation: the plain model on the last tokens, as many as
    it was trained on.

    Examples:

        longspan extend --to 4096 --budget 2
        longspan extend MODEL --to 32k --text docs/
        longspan extend MODEL --to 32k --text docs/ --method "rerope + log_length" --method yarn
    """
    if to is None:
        raise InputError("give the number of tokens to read, as in --to 32k")
    quiet_libraries()
    with resumable():
        from longspan.cli.progress import Stderr
        from longspan.report.study import study_page
        from longspan.report.words import verdict
        from longspan.study.request import Request
        from longspan.study.run import run_study

        request = Request(
            model=model,
            length=to,
            command=shlex.join(["longspan", *sys.argv[1:]]),
            methods=tuple(method or ()),
            texts=tuple(text or ()),
            out=out,
            docs=docs,
            tolerance=tolerance,
            budget=budget,
            dtype=dtype,
            trained_length=trained_length,
            device=device,
            ray=ray,
        )
        summary = run_study(request, Stderr(), lambda summary: study_page(summary, request.folder))
    if as_json:
        print(json.dumps(summary.json(), indent=2, allow_nan=False))
        return
    answer(verdict(summary))
    answer(f"\nreport: {request.folder.resolve() / 'report.html'}")
    if summary.model:
        answer(f"model:  {Path(summary.model).resolve()}")
