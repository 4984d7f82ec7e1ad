"""A grid of trained designs as a table: every seed, and which models did not learn."""

from collections.abc import Callable, Sequence

from longspan.measure.interval import Estimate
from longspan.train.comparison import TRIPLE, Row

CAPTION = (
    "Loss of the last tokens in nats, and the share of tokens predicted rightly at the trained length, on a text that "
    "repeats and on one that does not (Su's triple). With several seeds: mean, half the 95 % interval over seeds, and "
    "each seed. A model counts as trained where its loss at the trained length L is below its loss at L/4."
)


def cells(rows: Sequence[Row], lengths: Sequence[int], number: "Number | None" = None) -> list[list[str]]:
    """Return the table as text, its head first.

    Arguments:
        number: how a number over seeds is written; None for the mean alone.
    """
    names = [name.replace("_", " ") for name in TRIPLE]
    head = ["design", "at test", "trained", *(f"loss at {n}" for n in lengths), *names]
    return [head, *(_line(row, lengths, number or _mean) for row in rows)]


def markdown(rows: Sequence[Row], lengths: Sequence[int]) -> str:
    """Return the table with its caption and every seed, as Markdown."""
    head, *lines = cells(rows, lengths, _every_seed)
    ruled = [head, ["---"] * len(head), *([f"`{line[0]}`", f"`{line[1]}`", *line[2:]] for line in lines)]
    return "\n".join([CAPTION, "", *(f"| {' | '.join(line)} |" for line in ruled)]) + "\n"


def _line(row: Row, lengths: Sequence[int], number: "Number") -> list[str]:
    if failed := next((outcome.failed for outcome in row.outcomes if outcome.failed), None):
        return [row.design, row.method, "", failed, *[""] * (len(lengths) + len(TRIPLE) - 1)]
    losses = [number(row.loss(n), [o.loss.get(n) for o in row.outcomes], "{:.3f}") for n in lengths]
    shares = [number(row.accuracy(name), [o.accuracy.get(name) for o in row.outcomes], "{:.1%}") for name in TRIPLE]
    return [row.design, row.method, "yes" if row.learned else "no", *losses, *shares]


Number = Callable[[Estimate | None, Sequence[float | None], str], str]
"""From an estimate, the value of each seed and a format to text."""


def _mean(found: Estimate | None, seeds: Sequence[float | None], number: str) -> str:
    return "" if found is None else number.format(found.value)


def _every_seed(found: Estimate | None, seeds: Sequence[float | None], number: str) -> str:
    """One number, or a mean with half its interval and every seed."""
    if found is None or found.documents == 1:
        return _mean(found, seeds, number)
    each = ", ".join(number.format(value) for value in seeds)
    return f"{number.format(found.value)} ± {number.format((found.high - found.low) / 2)} ({each})"
