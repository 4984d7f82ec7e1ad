"""docs/conformance.md from the rows that were found."""

from collections import Counter

import torch
import transformers

from conformance.family import PATHS, TOLERANCE, Row
from conformance.laws import FAR, NEUTRAL, SAME
from conformance.reviewed import MEANING, METHODS, REASONS, UNBUILT

HEAD = f"""# Conformance

Written by `make conformance`: every method on every causal language model of transformers {transformers.__version__},
on tiny random models in float64 (torch {torch.__version__.split("+")[0]}).

A cell is ✓ where these paths give the logits of reading at once: {", ".join(PATHS)};
within {TOLERANCE:g} of the logits' deviation, or ten times what the model itself differs by. The method must change the
logits, and leave nothing behind when it is taken off. Methods of fixed
frequencies are computed a second time by a route that shares no rotation
with the first. With rotary modules given false positions (`make conformance ARGS=--wrong-frame`) no cell is ✓.

*positions* is what forgetting them changes, in units of the deviation; *worst* is the largest difference between
two paths under any method. A letter is a refusal, with its reason:
"""
LAWS = f"""The columns *neutral*, *own* and *reach* are laws of all methods on a type ([rescaled.md](rescaled.md)); –
means that a law does not apply:

- *neutral*: each of {len(NEUTRAL)} settings that change nothing (a factor of 1, a window of {FAR} tokens, …) gives the
  checkpoint's logits within {SAME:g} of their deviation, with angles in float64.
- *own*: the rescaling that the checkpoint came with, named bare, gives the checkpoint's logits.
- *reach*: the length that is saved and the one that vLLM and llama.cpp are given is the one that was asked for.
"""
COLUMNS = ("neutral", "own", "reach")


def page(rows: dict[str, Row]) -> str:
    """The page."""
    rotating = {name: row for name, row in sorted(rows.items()) if row.rotates}
    letters = {f"refused: {name}": chr(ord("a") + i) for i, name in enumerate(REASONS)}
    return "\n".join(
        [
            HEAD,
            *(f"- **{letters[f'refused: {name}']}** {name}: {MEANING[name]}" for name in REASONS),
            "",
            LAWS,
            *_counts(rotating),
            "## The table",
            "",
            *(f"{i}. `{method}`" for i, method in enumerate(METHODS, 1)),
            "",
            "| model type | positions | worst | "
            + " | ".join([*COLUMNS, *map(str, range(1, len(METHODS) + 1))])
            + " |",
            "|---|---|---|" + "---|" * (len(COLUMNS) + len(METHODS)),
            *(_line(name, row, letters) for name, row in rotating.items()),
            "",
            *_missing(rotating),
            *_unbuilt(rows),
            "## Without rotation",
            "",
            ", ".join(sorted(name for name, row in rows.items() if not row.rotates)),
            "",
        ]
    )


def _counts(rotating: dict[str, Row]) -> list[str]:
    everything = [name for name, row in rotating.items() if len(row.takes) == len(METHODS)]
    some = [name for name, row in rotating.items() if 0 < len(row.takes) < len(METHODS)]
    none = [name for name, row in rotating.items() if not row.takes]
    why = Counter(
        next(iter(row.cells.values()), "").removeprefix("refused: ") for row in map(rotating.get, none) if row
    )
    return [
        "## In numbers",
        "",
        f"- {len(rotating)} model types with rotation were built; {len(everything) + len(some)} of them take methods.",
        f"- {len(everything)} take all {len(METHODS)} schemes of the table.",
        f"- {len(some)} take some: {', '.join(some)}.",
        f"- {len(none)} take none: {', '.join(none)} ({', '.join(f'{n} {name}' for name, n in why.items())}).",
        "",
    ]


def _line(name: str, row: Row, letters: dict[str, str]) -> str:
    cells = [_mark(row.laws.get(law, "–"), letters) for law in COLUMNS]
    cells += [_mark(row.cells.get(method, row.cells.get("all", "")), letters) for method in METHODS]
    return f"| {name} | {row.positions:.1f} | {row.worst:.0e} | " + " | ".join(cells) + " |"


def _mark(cell: str, letters: dict[str, str]) -> str:
    return "✓" if cell == "pass" else letters.get(cell, cell)


def _missing(rotating: dict[str, Row]) -> list[str]:
    lines = [
        f"- {name}: {', '.join(f'{path} ({apart:.1g})' for path, apart in row.missing.items())}"
        for name, row in rotating.items()
        if row.missing
    ]
    return [
        "## Paths that a model itself does not have",
        "",
        "Without any extension it differs there from reading at once, by so many deviations of its logits (inf: it",
        "fails). These paths are not part of its cells.",
        "",
        *lines,
        "",
    ]


def _unbuilt(rows: dict[str, Row]) -> list[str]:
    return ["## Not built", "", *(f"- {name}: {why}" for name, why in UNBUILT.items() if name not in rows), ""]
