"""`longspan bench attention`: what each scheme costs on this machine, as ratios to plain causal attention."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from longspan.cli.values import tokens_option


class What(StrEnum):
    """What can be measured."""

    attention = "attention"


class Precision(StrEnum):
    """Dtypes of queries, keys and values."""

    float32 = "float32"
    bfloat16 = "bfloat16"


SHORTEST = 8
"""Tokens of the shortest forward pass: from here on, every row has all its segments."""
MOST_ROUNDS = 10_000


def bench(
    what: Annotated[What, typer.Argument(help="What to measure.")] = What.attention,
    length: Annotated[
        list[int] | None,
        tokens_option(explained="Of the forward pass, as in 8192 or 8k; repeatable."),
    ] = None,
    dtype: Annotated[list[Precision] | None, typer.Option(help="May be repeated; both when left out.")] = None,
    scheme: Annotated[list[str] | None, typer.Option(help="Rows to measure; all when left out.")] = None,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds; the median ratio is reported.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Forward passes only: no backward, decode, memory.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Time each scheme beside RoPE and one plain causal attention call, interleaved in one run, batch 1, 9 heads of 64.

    A ratio of 1.06 means 6 percent more time than plain attention.

    Example:

        longspan bench --length 8k --scheme "rerope(window=1024)" --quick
    """
    from dataclasses import asdict

    import torch

    from longspan.bench.alternatives import alternatives
    from longspan.bench.attention import PREFILL, Row, conditions, growth, ratios
    from longspan.cli.terminal import Ticker
    from longspan.disk import write_atomically
    from longspan.errors import InputError, NotationError, nearest

    names = scheme or list(PREFILL)
    for name in names:
        if name not in PREFILL:
            raise NotationError(f"unknown row {name!r}{nearest(name, PREFILL)}; there are {', '.join(PREFILL)}")
    lengths = length or [8192, 16384]
    if not 2 <= rounds <= MOST_ROUNDS:
        raise InputError(f"--rounds must be 2 … {MOST_ROUNDS}, got {rounds}")
    for tokens in lengths:
        _check_length(tokens)
    if out and not out.absolute().parent.is_dir():
        raise InputError(f"no folder {str(out.parent)!r} to write --out to: create it, or give another path")
    dtypes = [getattr(torch, name) for name in dtype or list(Precision)]
    progress = Ticker()
    rows: list[Row] = []
    found: dict[str, Any] = {**conditions(), "command": "longspan " + " ".join(sys.argv[1:])}
    for tokens in lengths:
        for kind in dtypes:
            rows += ratios(names, "forward", tokens, kind, rounds, progress)
    if not quick:
        for tokens in lengths:
            rows += ratios(names, "forward + backward", tokens, torch.float32, max(2, rounds // 2), progress)
        for kind in dtypes:
            rows += ratios(names, "decode", 32768, kind, 10 * rounds, progress)
        rows += alternatives(8192, torch.float32, 2, progress)
        found |= growth(progress)
    found["rows"] = [asdict(row) for row in rows]
    progress.clear()
    if out:
        write_atomically(out, json.dumps(found, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        show(found)


def _check_length(tokens: int) -> None:
    """Check a length before anything is timed.

    Errors: InputError for one that is too short, or needs more memory than is free.
    """
    import torch

    from longspan.bench.attention import needed
    from longspan.errors import InputError
    from longspan.measure.hardware.memory import available, gigabytes

    if tokens < SHORTEST:
        raise InputError(f"--length must be at least {SHORTEST} tokens, got {tokens}")
    free = available(torch.device("cpu"))
    if free is not None and needed(tokens) > free:
        raise InputError(
            f"--length {tokens} takes at least {gigabytes(needed(tokens))} and {gigabytes(free)} are free: "
            "give a smaller length"
        )


def show(found: dict[str, Any]) -> None:
    """Print a table: a row per scheme, a column per task."""
    from rich.console import Console
    from rich.table import Table

    rows = found["rows"]
    tasks = list(dict.fromkeys((row["task"], row["length"], row["dtype"]) for row in rows))
    table = Table("scheme", *(f"{task}\n{length // 1024}k {dtype}" for task, length, dtype in tasks), box=None)
    for name in dict.fromkeys(row["name"] for row in rows):
        cells = {
            (row["task"], row["length"], row["dtype"]): f"{row['ratio']:.2f}" for row in rows if row["name"] == name
        }
        table.add_row(name, *(cells.get(task, "") for task in tasks))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"time relative to rope + one plain causal attention; {found['hardware']}, torch {found['torch']}")
    if "memory" in found:
        memory = found["memory"]
        share = memory["peak_bytes"] / memory["tensors_bytes"]
        console.print(f"peak memory of rerope at {memory['length']} tokens: {share:.2f} × (q + k + v + out)")
        slopes = ", ".join(f"{name} {slope:.2f}" for name, slope in found["growth"]["slope"].items())
        console.print(f"slope of log time against log length, 4k to 64k: {slopes}")
