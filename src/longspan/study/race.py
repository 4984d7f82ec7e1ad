"""Race: which candidates are judged, from documents that are not judged on.

`longspan.measure.statistics.racing` decides who reads on. A score is the loss of the second half of what was read,
which varies less from document to document than that of the end, and the share of far facts that were found.
"""

from collections.abc import Collection, Sequence
from statistics import fmean

from longspan.measure.model import PLAIN
from longspan.measure.statistics import racing
from longspan.study.planning.cells import Cell, Quantity
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Column, Outcome, Results, beyond, tokens_per_second
from longspan.study.summary import FailedRow, Race, RaceRow


class Heats:
    """A race while it is measured, document by document.

    Arguments:
        plan: of the study.
        tolerance: nats per token that a method may cost on short texts.
    """

    def __init__(self, plan: StudyPlan, tolerance: float) -> None:
        self._plan = plan
        self.field = plan.field(tolerance) if plan.races else None
        self._columns: dict[str, Column] = {}

    @property
    def read(self) -> int:
        """How many documents were read."""
        return len(self._columns.get(PLAIN, ()))

    def next(self) -> list[Cell]:
        """Return the cells to measure now, all of one document; none when the race is over."""
        wanted = self.field.next() if self.field else ()
        return self._plan.race_cells(int(wanted[0].document), [cell.candidate for cell in wanted]) if wanted else []

    def add(self, results: Results) -> None:
        """Add what was measured for `next`."""
        assert self.field is not None
        wanted = self.field.next()
        column = {row: results.column(row, Quantity.WHOLE, self._plan.race_length) for row in (PLAIN, *_names(wanted))}
        plain = column[PLAIN][0]
        for row, (outcome,) in column.items():
            self._columns.setdefault(row, []).append(outcome)
            if row != PLAIN:
                self.field.add(row, wanted[0].document, _score(outcome, plain))

    def summary(self) -> Race:
        """Return how the race ended."""
        plan = self._plan
        if self.field is None:
            return Race((), plan.race_length, (), plan.candidates)
        documents = tuple(plan.race[int(number)].name for number in dict.fromkeys(c.document for c in self._used()))
        places = finalists(self.field, plan.finalists, plan.exportable)
        standing = [name for name in (*self.field.standing, PLAIN) if name in self._columns]
        rows = [self._row(name) for name in standing]
        plain = rows.pop()
        failed = [self._row(name) for name in self._columns if name not in standing]
        return Race(documents, plan.race_length, (*rows, plain, *failed), places, self.field.eliminated)

    def _used(self) -> tuple[racing.Cell, ...]:
        assert self.field is not None
        return self.field.ranking.used

    def _row(self, method: str) -> RaceRow | FailedRow:
        """What the race says of one method."""
        column = self._columns[method]
        if failure := next((outcome.failure for outcome in column if outcome.failure is not None), None):
            return FailedRow(method, failure)
        scores = [_score(outcome, plain) for outcome, plain in zip(column, self._columns[PLAIN], strict=False)]
        found = [score for score in scores if score is not None]
        answers = [beyond(outcome) for outcome in column]
        asked = sum(number for _, number in answers)
        comparable = not any(outcome.failure for outcome in self._columns[PLAIN][: len(column)])
        return RaceRow(
            method,
            fmean(score.loss for score in found),
            sum(right for right, _ in answers) / max(1, asked),
            asked,
            fmean(score.price for score in found) if comparable else None,
            tokens_per_second(column),
            tuple(score.cost() for score in found),
        )


def finalists(field: racing.Race, count: int, exportable: Collection[str]) -> tuple[str, ...]:
    """Return who is judged: the first `count` that may be the best, and the best that stock runtimes express.

    Where all candidates are too expensive on short texts, or fail, the most promising one is judged to show it.
    """
    left = {each.candidate for each in field.eliminated if each.reason in ("worse", "price")}
    promising = [name for name in field.standing if name not in left] or list(field.standing[:1])
    chosen = promising[:count] or list(field.candidates[:1])
    reserved = [name for name in field.standing if name in exportable][:1]
    return tuple(chosen if any(name in exportable for name in chosen) else [*chosen, *reserved])


def _score(outcome: Outcome, plain: Outcome) -> racing.Score | None:
    """The score of one reading; None where it failed."""
    if outcome.failure is not None:
        return None
    right, asked = beyond(outcome)
    short = outcome.result["short"]
    price = 0.0 if plain.failure is not None else short - plain.result["short"]
    second, whole = outcome.result["second_half"], outcome.result["loss"]
    return racing.Score(whole if second is None else second, right / max(1, asked), price)


def _names(cells: Sequence[racing.Cell]) -> list[str]:
    return [cell.candidate for cell in cells]
