"""A grid of trained designs as two tables, of means and of every seed, which say which models did not learn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.statistics.interval import Estimate
from longspan.train.comparison import TRIPLE, Row
from longspan.train.relations import LAWS, Verdict

EXAM = (
    "Loss in nats, and the share of symbols or of whole answers that are right, by length. A model of a task counts as "
    "trained where its whole answers at the longest trained length are above chance, another one where its loss at the "
    "trained length L is below its loss at L/4 on the same tokens."
)
CAPTION = (
    "Loss of the last tokens in nats, and the share of tokens predicted rightly at the trained length, on a text that "
    "repeats and on one that does not (Su's triple). A model counts as trained where its loss with L tokens of context "
    "is below that with L/4 on the same tokens of the same documents."
)


def narrow(rows: Sequence[Row], lengths: Sequence[int]) -> list[list[str]]:
    """Return a table of means as text for a terminal, its head first."""
    return _cells(rows, lengths, TERMINAL)


def page(found: Mapping[str, Any]) -> str:
    """Return a grid from its findings (`longspan.train.findings`), as Markdown: means, origin, relations."""
    rows, held = [Row.of(row) for row in found["rows"]], [Verdict(**each) for each in found["relations"]]
    parts = [means(rows, found["lengths"]), _origin(found), *([relations(held)] if held else [])]
    return "\n".join(parts)


def means(rows: Sequence[Row], lengths: Sequence[int]) -> str:
    """Return the table of means with its caption, as Markdown."""
    return _markdown(rows, lengths, MEANS)


def seeds(rows: Sequence[Row], lengths: Sequence[int]) -> str:
    """Return the table of every seed with its caption, as Markdown."""
    return _markdown(rows, lengths, SEEDS)


def _origin(found: Mapping[str, Any]) -> str:
    """What made a grid, as one line."""
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


def _exam_cells(rows: Sequence[Row], lengths: Sequence[int], form: "Form") -> list[list[str]]:
    """The table of an exam: loss and shares by length, as far as there is room."""
    whole = any(outcome.whole for row in rows for outcome in row.outcomes)
    wanted = form.answers if whole else form.hidden
    found = [["design", "at test", "trained", *(f"{name} at {n}" for name in wanted for n in lengths)]]
    for row in rows:
        if failed := next((outcome.failed for outcome in row.outcomes if outcome.failed), None):
            found.append([row.design, row.method, "", failed, *[""] * (len(found[0]) - 4)])
            continue
        shown = [form.number(*_numbers(row, name, n)) for name in wanted for n in lengths]
        found.append([row.design, row.method, form.trained(row), *shown])
    return found


def _numbers(row: Row, name: str, length: int) -> tuple[Estimate | None, list[float | None], str]:
    """A number of an exam: over seeds, of each seed, and its format."""
    if name == "loss":
        return row.loss(length), [outcome.loss.get(length) for outcome in row.outcomes], "{:.3f}"
    shares = [(o.symbols if name == "symbols" else o.whole).get(length) for o in row.outcomes]
    over_seeds = row.symbols(length) if name == "symbols" else row.whole(length)
    return over_seeds, [None if share is None else share.value for share in shares], "{:.1%}"


def _line(row: Row, lengths: Sequence[int], form: "Form") -> list[str]:
    if failed := next((outcome.failed for outcome in row.outcomes if outcome.failed), None):
        return [row.design, row.method, "", failed, *[""] * (len(lengths) + len(TRIPLE) - 1)]
    losses = [form.number(row.loss(n), [o.loss.get(n) for o in row.outcomes], "{:.3f}") for n in lengths]
    shares = [
        form.number(row.accuracy(name), [o.accuracy.get(name) for o in row.outcomes], "{:.1%}") for name in TRIPLE
    ]
    return [row.design, row.method, form.trained(row), *losses, *shares]


def _trained(row: Row) -> str:
    """Whether a model counts as trained."""
    return "yes" if row.learned else "no"


def _trained_by_seed(row: Row) -> str:
    """The same, and by how much context helps each seed."""
    found = [outcome.context for outcome in row.outcomes if outcome.context is not None]
    gains = ", ".join(f"{each.value:+.3f} (at most {each.high:+.3f})" for each in found)
    return f"{_trained(row)}: {gains}" if gains else _trained(row)


def _cells(rows: Sequence[Row], lengths: Sequence[int], form: "Form") -> list[list[str]]:
    """The table as text, its head first."""
    if _examined(rows):
        return _exam_cells(rows, lengths, form)
    names = [name.replace("_", " ") for name in TRIPLE]
    head = ["design", "at test", "trained", *(f"loss at {n}" for n in lengths), *names]
    return [head, *(_line(row, lengths, form) for row in rows)]


def _markdown(rows: Sequence[Row], lengths: Sequence[int], form: "Form") -> str:
    head, *lines = _cells(rows, lengths, form)
    ruled = [head, ["---"] * len(head), *([f"`{line[0]}`", f"`{line[1]}`", *line[2:]] for line in lines)]
    caption = f"{EXAM if _examined(rows) else CAPTION} {form.legend}"
    return "\n".join([caption, "", *(f"| {' | '.join(line)} |" for line in ruled)]) + "\n"


Number = Callable[[Estimate | None, Sequence[float | None], str], str]
"""From an estimate, the value of each seed and a format to text."""


@dataclass(frozen=True)
class Form:
    """A table for one kind of reader.

    Arguments:
        number: how a number over seeds is written.
        trained: how it is written whether a model counts as trained.
        hidden, answers: what is shown of hidden tokens, and of answers, by length.
        legend: how its numbers are to be read.
    """

    number: Number
    trained: Callable[[Row], str]
    hidden: tuple[str, ...]
    answers: tuple[str, ...]
    legend: str = ""


def _mean(found: Estimate | None, each: Sequence[float | None], number: str) -> str:
    return "" if found is None else number.format(found.value)


def _spread(found: Estimate | None, each: Sequence[float | None], number: str) -> str:
    """A number with its interval, if it has one; of several seeds the mean with half its interval, or with both ends.

    Student's interval of three shares often leaves 0 to 1, and seeds either learn a task or do not.
    """
    if found is None or found.documents == 1:
        return _mean(found, each, number)
    if _is_share(number) or len(each) == 1:
        low, high = (found.low, found.high) if len(each) == 1 else _ends(each)
        if low == high:
            return _mean(found, each, number)
        return f"{number.format(found.value)} [{number.format(low)}, {number.format(high)}]"
    return f"{number.format(found.value)} ± {number.format((found.high - found.low) / 2)}"


def _every_seed(found: Estimate | None, each: Sequence[float | None], number: str) -> str:
    """The same with every seed."""
    values = ", ".join("none" if value is None else number.format(value) for value in each)
    first = _mean if _is_share(number) and len(each) > 1 else _spread
    return first(found, each, number) + (f" ({values})" if len(each) > 1 else "")


def _is_share(number: str) -> bool:
    return number.endswith("%}")


def _ends(each: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in each if value is not None]
    return min(known), max(known)


INTERVALS = (
    "In square brackets: Wilson's 95 % interval of one seed; of several the lowest and the highest share, beside their "
    "mean. Losses of several seeds: mean, and half the 95 % interval over seeds"
)
TERMINAL = Form(_mean, _trained, ("symbols",), ("whole",))
MEANS = Form(_spread, _trained, ("loss", "symbols"), ("whole",), f"{INTERVALS}.")
SEEDS = Form(
    _every_seed,
    _trained_by_seed,
    ("loss", "symbols"),
    ("loss", "symbols", "whole"),
    f"{INTERVALS}, and each seed. Beside trained stands by how much the loss at L is below that at L/4, for each seed, "
    "and its one-sided 95 % bound; a task has none.",
)
