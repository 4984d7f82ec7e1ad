"""A grid of trained designs as a table: every seed, and which models did not learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from longspan.measure.statistics.interval import Estimate
from longspan.train.comparison import TRIPLE, Row
from longspan.train.relations import LAWS, Verdict

EXAM = (
    "Loss in nats, and the share of symbols and of whole answers that are right, by length. A model of a task counts "
    "as trained where its whole answers at the longest trained length are above chance, another one where its loss at "
    "the trained length L is below its loss at L/4 on the same tokens: beside it stands the difference of each seed "
    "and its one-sided 95 % bound. In brackets: Wilson's 95 % interval of one seed. With several seeds: mean, half the "
    "95 % interval over seeds, and each seed."
)
CAPTION = (
    "Loss of the last tokens in nats, and the share of tokens predicted rightly at the trained length, on a text that "
    "repeats and on one that does not (Su's triple). With several seeds: mean, half the 95 % interval over seeds, and "
    "each seed. A model counts as trained where its loss with L tokens of context is below that with L/4 on the same "
    "tokens of the same documents: beside it stands the difference of each seed and its one-sided 95 % bound."
)


def cells(rows: Sequence[Row], lengths: Sequence[int], number: "Number | None" = None) -> list[list[str]]:
    """Return the table as text, its head first.

    Arguments:
        number: how a number over seeds is written; None for the mean alone.
    """
    if _examined(rows):
        return _exam_cells(rows, lengths, number)
    names = [name.replace("_", " ") for name in TRIPLE]
    head = ["design", "at test", "trained", *(f"loss at {n}" for n in lengths), *names]
    return [head, *(_line(row, lengths, number or _mean) for row in rows)]


def markdown(rows: Sequence[Row], lengths: Sequence[int]) -> str:
    """Return the table with its caption and every seed, as Markdown."""
    head, *lines = cells(rows, lengths, _every_seed)
    ruled = [head, ["---"] * len(head), *([f"`{line[0]}`", f"`{line[1]}`", *line[2:]] for line in lines)]
    return "\n".join([EXAM if _examined(rows) else CAPTION, "", *(f"| {' | '.join(line)} |" for line in ruled)]) + "\n"


def provenance(found: Mapping[str, Any]) -> str:
    """Return what made a grid, from its JSON (`longspan.train.comparison.described`), as one line."""
    training, torch = found["settings"]["training"], sorted({versions["torch"] for versions in found["versions"]})
    steps = f"{training['steps']} steps of {training['batch']} × {training['length']} tokens"
    machines = f"{'; '.join(found['hardware'])}; torch {', '.join(torch)}"
    return f"`{found['command']}`: {found['measured']} of {found['cells']} cells; {steps}; {machines}.\n"


def relations(found: Sequence[Verdict]) -> str:
    """Return which relations held, as Markdown."""
    words = {True: "held", False: "did not hold", None: "not known"}
    lines = [f"| {each.name} | {words[each.held]} | {each.sentence} |" for each in found]
    intro = (
        "Relations that articles report (`longspan.train.relations` names them); numbers are nats, of answers shares, "
        "one for each seed."
    )
    laws = [f"- {name}: {sentence} (`{test}`)" for name, (sentence, test) in LAWS.items()]
    table = [intro, "", "| relation | | what was found |", "| --- | --- | --- |", *lines]
    return "\n".join([*table, "", "Relations that no training can break are tests:", "", *laws]) + "\n"


def _examined(rows: Sequence[Row]) -> bool:
    return any(outcome.symbols for row in rows for outcome in row.outcomes)


def _exam_cells(rows: Sequence[Row], lengths: Sequence[int], number: "Number | None") -> list[list[str]]:
    """The table of an exam: loss and shares by length; a terminal has room for whole answers, or for symbols."""
    whole = any(outcome.whole for row in rows for outcome in row.outcomes)
    wanted = ["loss", "symbols", "whole"] if whole else ["loss", "symbols"]
    wanted = wanted[-1:] if number is None else wanted
    found = [["design", "at test", "trained", *(f"{name} at {n}" for name in wanted for n in lengths)]]
    for row in rows:
        if failed := next((outcome.failed for outcome in row.outcomes if outcome.failed), None):
            found.append([row.design, row.method, "", failed, *[""] * (len(found[0]) - 4)])
            continue
        shown = [(number or _mean)(*_numbers(row, name, n)) for name in wanted for n in lengths]
        found.append([row.design, row.method, _trained(row, number), *shown])
    return found


def _numbers(row: Row, name: str, length: int) -> tuple[Estimate | None, list[float | None], str]:
    """A number of an exam: over seeds, of each seed, and its format."""
    if name == "loss":
        return row.loss(length), [outcome.loss.get(length) for outcome in row.outcomes], "{:.3f}"
    shares = [(o.symbols if name == "symbols" else o.whole).get(length) for o in row.outcomes]
    over_seeds = row.symbols(length) if name == "symbols" else row.whole(length)
    return over_seeds, [None if share is None else share.value for share in shares], "{:.1%}"


def _line(row: Row, lengths: Sequence[int], number: "Number") -> list[str]:
    if failed := next((outcome.failed for outcome in row.outcomes if outcome.failed), None):
        return [row.design, row.method, "", failed, *[""] * (len(lengths) + len(TRIPLE) - 1)]
    losses = [number(row.loss(n), [o.loss.get(n) for o in row.outcomes], "{:.3f}") for n in lengths]
    shares = [number(row.accuracy(name), [o.accuracy.get(name) for o in row.outcomes], "{:.1%}") for name in TRIPLE]
    return [row.design, row.method, _trained(row, number), *losses, *shares]


def _trained(row: Row, number: "Number | None") -> str:
    """Whether a model counts as trained; with every seed, by how much context helps it."""
    word = "yes" if row.learned else "no"
    found = [outcome.context for outcome in row.outcomes if outcome.context is not None]
    if number is not _every_seed or not found:
        return word
    return f"{word}: {', '.join(f'{each.value:+.3f} (at most {each.high:+.3f})' for each in found)}"


Number = Callable[[Estimate | None, Sequence[float | None], str], str]
"""From an estimate, the value of each seed and a format to text."""


def _mean(found: Estimate | None, seeds: Sequence[float | None], number: str) -> str:
    return "" if found is None else number.format(found.value)


def _every_seed(found: Estimate | None, seeds: Sequence[float | None], number: str) -> str:
    """One number with its interval, if it has one, or a mean with half its interval and every seed."""
    if found is None or found.documents == 1:
        return _mean(found, seeds, number)
    if len(seeds) == 1:
        return f"{number.format(found.value)} [{number.format(found.low)}, {number.format(found.high)}]"
    each = ", ".join(number.format(value) for value in seeds)
    return f"{number.format(found.value)} ± {number.format((found.high - found.low) / 2)} ({each})"
