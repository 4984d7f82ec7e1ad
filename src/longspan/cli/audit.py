"""`longspan audit MODEL`: what a checkpoint's config and rotary module really do."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from longspan.audit.report import Audit

WIDTH = 150
"""Columns of a table where there is no terminal."""


def audit(
    model: Annotated[str, typer.Argument(help="A Hugging Face id, a folder, a .gguf file, or 'bundled'.")],
    to: Annotated[
        int | None, typer.Option("--to", help="N: tokens you want to read; left out, the length the config promises.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object, the same facts as the tables.")
    ] = False,
) -> None:
    """Say what MODEL really does with positions, and fail on mistakes that no error message reports.

    The model is built without its weights, at full size, and run on a few tokens, so that even a large one takes
    seconds and little memory. Every position field of its config is given other values to see whether it does anything.
    Exit code 0: no mistake was found. 1: at least one was; each is one line that begins with "failure". 2: MODEL cannot
    be read.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from longspan.audit.audit import audit as audited

    result = audited(model, to)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2, default=str))
    else:
        _show(result)
    if result.failed:
        raise typer.Exit(1)


def _show(result: "Audit") -> None:
    from rich.console import Console

    from longspan.cli.auditing import lines, tables
    from longspan.cli.terminal import answer

    wide = None if sys.stdout.isatty() else WIDTH
    console = Console(markup=False, highlight=False, width=wide)
    answer("\n".join(lines(result)))
    for title, table in tables(result):
        answer(f"\n{title}")
        console.print(table)
    answer("")
    for finding in result.findings:
        answer(f"{finding.severity} ({finding.check}): {finding}")
    if not result.findings:
        answer("no mistake found")
