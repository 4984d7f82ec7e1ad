"""`longspan check fla`: the laws of mixers, asked of flash-linear-attention."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from longspan.cli.terminal import answer


class Library(StrEnum):
    """What can be checked."""

    fla = "fla"


def check(
    library: Annotated[Library, typer.Argument(help="fla: flash-linear-attention, whose naive operators are asked.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects.")] = False,
) -> None:
    """Check another library's linear recurrences: whole texts, chunks, and reading on from a saved state.

    Each is compared with the same recurrence in float64, one token at a time. The exit code is 1 where a law is broken.
    It needs no GPU: pip install fla-core.
    """
    from dataclasses import asdict

    from longspan.check.fla import outcomes

    found = list(outcomes())
    if as_json:
        answer(json.dumps([asdict(each) | {"holds": each.holds} for each in found], indent=2))
    else:
        for each in found:
            answer(f"{'holds ' if each.holds else 'BROKEN'}  {each.operator}: {each.law} ({each.difference:.1e} σ)")
    if not all(each.holds for each in found):
        raise typer.Exit(1)
