"""`longspan audit MODEL`: what a checkpoint's config and rotary module really do."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longspan.cli.values import Device, tokens_option

if TYPE_CHECKING:
    from longspan.audit.report import Audit

WIDTH = 150
"""Columns of a table where there is no terminal."""


def audit(
    model: Annotated[str, typer.Argument(help="A Hugging Face id, a folder, a .gguf file, or 'bundled'.")],
    to: Annotated[
        int | None,
        tokens_option(
            "--to", explained="N: tokens you want to read, as in 32k; left out, the length the config promises."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: one object, the same facts as the tables.")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option("--server", help="Address of a running server: audit what it does, not the checkpoint."),
    ] = None,
    runs_as: Annotated[
        str | None, typer.Option("--runs-as", help="module:function in place of a server: ids to log-probabilities.")
    ] = None,
    expect: Annotated[
        str, typer.Option("--expect", help="With a server: the scheme it was asked for, as in 'yarn(factor=4)'.")
    ] = "plain",
    served_name: Annotated[
        str | None,
        typer.Option("--served-name", help="With a server: its name for MODEL; else the first one it lists."),
    ] = None,
    length: Annotated[
        list[int] | None,
        typer.Option(
            "--length", help="With a server: tokens of a text; repeatable; left out, half to twice the trained length."
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option("--text", help="With a server: files or folders to make texts from; repeatable."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Say what MODEL really does with positions, and fail on mistakes that no error message reports.

    The model is built without its weights, at full size, and run on a few tokens, so that even a large one takes
    seconds and little memory. Every position field of its config is given other values to see whether it does anything.

    Exit code 0: no mistake was found. 1: at least one was; each is one line that begins with "failure". 2: MODEL cannot
    be read.

    With --server (or --runs-as) the server is audited: its log-probabilities on texts just beyond the trained length
    are compared with those of MODEL under each known mistake, and the nearest is named. Exit code 0: it does what
    --expect says. 1: it does something else. 2: it gives no log-probabilities, or cannot be reached.

    Examples:

        longspan audit MODEL --to 32k
        longspan audit MODEL --server http://localhost:8000 --expect "yarn(factor=4)"
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if server is not None or runs_as is not None:
        from longspan.cli.auditing_server import run

        if not run(model, server, runs_as, served_name, expect, to, length or [], text or [], device, as_json):
            raise typer.Exit(1)
        return
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
