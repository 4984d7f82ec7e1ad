"""Race: which candidates are judged, from few documents that are not judged on."""

from collections.abc import Sequence
from statistics import fmean

from longspan.measure.interval import wilson
from longspan.measure.model import PLAIN
from longspan.study.planning.cells import Quantity
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Column, Results, beyond, tokens_per_second
from longspan.study.summary import FailedRow, Race, RaceRow


def rank(plan: StudyPlan, results: Results, tolerance: float) -> Race:
    """Rank the candidates: those within the tolerance first, by the loss of the second half of what was read."""
    documents = tuple(document.name for document in plan.race)
    if not plan.races:
        return Race(documents, plan.race_length, (), plan.candidates)
    columns = {method: results.column(method, Quantity.WHOLE, plan.race_length) for method in (PLAIN, *plan.candidates)}
    rows = sorted((_row(method, columns) for method in columns), key=lambda row: _order(row, tolerance))
    running = [row for row in rows if isinstance(row, RaceRow) and row.method != PLAIN]
    return Race(documents, plan.race_length, tuple(rows), finalists(running, plan.finalists, tolerance))


def finalists(running: Sequence[RaceRow], count: int, tolerance: float) -> tuple[str, ...]:
    """Return the first `count` of ranked rows; where each surely finds less than others do, the last one is replaced.

    A method can be worth using by its loss or by the facts it finds, and a race asks for few facts.
    """
    chosen = list(running[:count])
    affordable = [row for row in running if (row.price or 0.0) <= tolerance]
    most = max((row.beyond for row in affordable), default=0.0)
    finding = [row for row in affordable if not row.asked or wilson(row.beyond, row.asked)[1] >= most]
    if finding and not any(row in finding for row in chosen):
        chosen[-1] = finding[0]
    return tuple(row.method for row in chosen)


def _row(method: str, columns: dict[str, Column]) -> RaceRow | FailedRow:
    """What the race says of one method."""
    column, plain = columns[method], columns[PLAIN]
    if failure := _failure(column):
        return FailedRow(method, failure)
    answers = [beyond(outcome) for outcome in column]
    asked = sum(number for _, number in answers)
    price = None
    if not _failure(plain):
        price = fmean(own.result["short"] - other.result["short"] for own, other in zip(column, plain, strict=True))
    return RaceRow(
        method,
        fmean(outcome.result["second_half"] for outcome in column),
        sum(right for right, _ in answers) / max(1, asked),
        asked,
        price,
        tokens_per_second(column),
    )


def _failure(column: Column) -> str | None:
    """Why the method has no numbers; None where it has."""
    return next((outcome.failure for outcome in column if outcome.failure is not None), None)


def _order(row: RaceRow | FailedRow, tolerance: float) -> tuple[bool, bool, float]:
    if isinstance(row, FailedRow):
        return True, False, 0.0
    return False, (row.price or 0.0) > tolerance, row.loss
