"""The card on top of a report: what the method at issue gains and pays, one tile for each criterion, in few words."""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.interval import Estimate
from longspan.report.words import CALLED, TAKEN, interval, signed, why_not
from longspan.study.contrast import Contrast, Criterion, Outcome
from longspan.study.planning.cells import TRUNCATION
from longspan.study.summary import MethodRow, Summary
from longspan.study.verdict import Tie


@dataclass(frozen=True)
class Comparison:
    """A tile's line: against which baseline, by how much, and what that is worth.

    Arguments:
        baseline: its name in a sentence.
        difference: with unit and interval.
        outcome: in one word or two.
    """

    baseline: str
    difference: str
    outcome: Outcome


@dataclass(frozen=True)
class Tile:
    """One criterion.

    Arguments:
        label: what was measured.
        value: of the method, with its unit.
        comparisons: with each baseline.
    """

    label: str
    value: str
    comparisons: tuple[Comparison, ...]


def subject(summary: Summary) -> MethodRow | None:
    """Return the row that the card is about: the winner, or the plain model where it stays as it is.

    Otherwise it is the candidate with the lowest cost against the baseline; None where nothing was compared.
    """
    if summary.winner is not None:
        return summary.row(summary.winner)
    if summary.verdict.advice == "plain":
        return summary.row(PLAIN)
    compared = [
        (contrast, row)
        for row in summary.measured
        if row.method not in CALLED and (contrast := row.contrast(summary.baseline)) is not None
    ]
    return min(compared, key=lambda pair: (pair[0].cost or pair[0].loss).value)[1] if compared else None


def tiles(row: MethodRow, summary: Summary) -> list[Tile]:
    """Return what a method does by each criterion, and how that compares with each baseline."""
    setting = summary.setting
    contrasts = {name: contrast for name in CALLED if (contrast := row.contrast(name)) is not None}
    found = [
        Tile(
            f"facts found, more than {setting.trained_length} tokens back",
            f"{100 * row.beyond.value:.0f} %",
            _compared(contrasts, Criterion.FACTS),
        )
    ]
    if (loss := row.loss.get(setting.length)) is not None:
        label = f"loss of the last {setting.tail} tokens, nats per token"
        found.append(Tile(label, f"{loss.value:.3f}", _compared(contrasts, Criterion.LOSS)))
    if contrasts:  # within the trained length, truncation is the plain model
        short = contrasts.get(PLAIN) or contrasts[TRUNCATION]
        label = f"cost on texts of up to {setting.trained_length} tokens, nats per token"
        found.append(Tile(label, signed(short.short.value), _compared({PLAIN: short}, Criterion.SHORT)))
    speed = setting.length / row.seconds
    found.append(Tile("tokens of text per second", f"{speed:,.0f}", _compared(contrasts, Criterion.SPEED)))
    return found


def confidence(row: MethodRow, summary: Summary) -> str:
    """Return how sure the comparison is, in one sentence; empty where costs were not compared."""
    sure = []
    for name, words in CALLED.items():
        contrast = row.contrast(name)
        if contrast is not None and contrast.cost is not None:
            what = "lower than" if contrast.cost.below_zero else "higher than" if contrast.cost.above_zero else ""
            differs = f"surely {what} that of {words}" if what else f"not surely different from that of {words}"
            sure.append(f"{differs} ({signed(contrast.cost.value)} {interval(contrast.cost, signed)})")
    if not sure:
        return ""
    documents = len(summary.setting.documents)
    return (
        f"Its cost, the loss minus the share of facts found, in nats, is {' and '.join(sure)}; "
        f"95 % intervals over {documents} document{'' if documents == 1 else 's'}."
    )


def ties(summary: Summary) -> list[str]:
    """Return what is not surely worse than the winner, and why the winner was taken, a sentence each."""
    verdict = summary.verdict
    if verdict.ties:
        lines = [
            f"{summary.name(tie.method)}: cost {signed(tie.difference.value)} {interval(tie.difference, signed)} nats"
            + (f"{_how_sure(tie, summary)}." if tie.judged else ", on the documents of the race only.")
            for tie in verdict.ties
        ]
        taken = TAKEN[verdict.chosen_by]
        return [*lines, *([f"{taken[0].upper()}{taken[1:]}."] if taken else [])]
    return [f"{summary.name(method)}." for method in summary.tied]


def _how_sure(tie: Tie, summary: Summary) -> str:
    return f": better{why_not(tie, summary)}" if tie.difference.below_zero else ""


def caveats(summary: Summary) -> list[str]:
    """Return what somebody must know before believing the verdict, a sentence each."""
    setting, lines = summary.setting, list(summary.warnings)
    count = len(setting.documents)
    if count > setting.files > 1 or (count > setting.files and not summary.warnings):
        files = "1 file" if setting.files == 1 else f"{setting.files} files"
        lines.append(f"The {count} documents are parts of {files}: intervals may be too narrow.")
    if summary.verdict.undecided:
        names = ", ".join(map(summary.name, summary.verdict.undecided))
        length = summary.race.entry_length
        why = "the budget did not reach them" if length is None else f"they read one text of {length} tokens only"
        lines.append(f"Not decided, since {why}: {names}. A larger --budget adds them.")
    if summary.left_out:
        lines.append(f"Left out to keep to the budget: {'; '.join(summary.left_out)}.")
    fewer = [row.method for row in summary.measured if row.documents < count]
    if fewer:
        lines.append(f"Read fewer than {count} documents: {', '.join(map(summary.name, fewer))}.")
    return lines


def _compared(contrasts: dict[str, Contrast], criterion: Criterion) -> tuple[Comparison, ...]:
    found = []
    for name, contrast in contrasts.items():
        estimate: Estimate | None = getattr(contrast, criterion.value)
        if estimate is not None:
            found.append(Comparison(CALLED[name], _difference(estimate, criterion), contrast.outcome(criterion)))
    return tuple(found)


def _difference(estimate: Estimate, criterion: Criterion) -> str:
    """A difference with its interval, in the unit of its criterion.

    >>> _difference(Estimate(0.65, 0.5, 0.8, 8), Criterion.FACTS)
    '+65 points [+50, +80]'
    >>> _difference(Estimate(0.72, 0.7, 0.75, 8), Criterion.SPEED)
    '× 0.72 [0.70, 0.75]'
    """
    if criterion is Criterion.FACTS:
        points = lambda value: f"{100 * value:+.0f}".replace("-", "−")  # noqa: E731
        return f"{points(estimate.value)} points {interval(estimate, points)}"
    if criterion is Criterion.SPEED:
        return f"× {estimate.value:.2f} {interval(estimate, '{:.2f}'.format)}"
    return f"{signed(estimate.value)} {interval(estimate, signed)}"


def methods_to_run(summary: Summary) -> Sequence[str]:
    """Return the winner and the best method that stock runtimes can run, the winner first."""
    return list(dict.fromkeys(name for name in (summary.winner, summary.verdict.exportable) if name is not None))
