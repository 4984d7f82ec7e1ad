"""Race: which candidates are judged, from documents that are not judged on.

Where the budget does not let all of them race, all read a shorter text first, and those that look best there race.
`longspan.measure.statistics.racing` decides who reads on. A score is the loss of the second half of what was read,
which varies less from document to document than that of the end, and the share of far facts that were found.
"""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from longspan.measure.models.model import PLAIN
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
        self._plan, self._tolerance = plan, tolerance
        self._entry = racing.Race(plan.candidates, ["0"], tolerance=tolerance) if plan.entry_length else None
        self.field = plan.field(tolerance) if plan.races else None
        self._columns: dict[str, Column] = {}
        self._entered: dict[str, Column] = {}

    @property
    def stage(self) -> str:
        """What `next` asks for, in words."""
        return "race, a shorter text" if self._entering else f"race, text {len(self._columns.get(PLAIN, ())) + 1}"

    @property
    def _entering(self) -> bool:
        return self._entry is not None and not self._entered

    def next(self) -> list[Cell]:
        """Return the cells to measure now, all of one document; none when the race is over."""
        if self._entering:
            return self._plan.entry_cells()
        wanted = self.field.next() if self.field else ()
        return self._plan.race_cells(int(wanted[0].document), [cell.candidate for cell in wanted]) if wanted else []

    def add(self, results: Results) -> None:
        """Add what was measured for `next`."""
        if self._entry is not None and self._entering:
            length = self._plan.entry_length or 0
            self._read(
                results, length, self._entered, self._entry, [racing.Cell(n, "0") for n in self._plan.candidates]
            )
            self.field = self._plan.field(self._tolerance, entrants(self._entry))
        elif self.field is not None:
            self._read(results, self._plan.race_length, self._columns, self.field, self.field.next())

    @staticmethod
    def _read(
        results: Results, length: int, columns: dict[str, Column], field: racing.Race, cells: Sequence[racing.Cell]
    ) -> None:
        (plain,) = next(iter(results.columns(PLAIN, Quantity.SHORT).values()))
        columns.setdefault(PLAIN, []).append(plain)
        for row in _names(cells):
            (outcome,) = results.column(row, Quantity.WHOLE, length)
            columns.setdefault(row, []).append(outcome)
            field.add(row, cells[0].document, _score(outcome, plain))

    def summary(self) -> Race:
        """Return how the race ended."""
        plan = self._plan
        if self.field is None:
            return Race((), plan.race_length, (), plan.candidates)
        documents = tuple(plan.race[int(number)].name for number in dict.fromkeys(c.document for c in self._used()))
        places = finalists(self.field, plan.finalists, plan.exportable, plan.reserved)
        entry = _rows(entrants(self._entry), self._entered) if self._entry else ()
        rows = _rows(self.field.standing, self._columns)
        return Race(documents, plan.race_length, rows, places, self.field.eliminated, entry, plan.entry_length)

    def _used(self) -> tuple[racing.Cell, ...]:
        assert self.field is not None
        return self.field.ranking.used


def _rows(standing: Sequence[str], columns: Mapping[str, Column]) -> tuple[RaceRow | FailedRow, ...]:
    """The rows of everybody that was read, those that failed last."""
    rows = [_row(name, columns) for name in dict.fromkeys((*standing, *columns)) if name in columns and name != PLAIN]
    if any(outcome.failure for outcome in columns.get(PLAIN, ())):
        rows.append(_row(PLAIN, columns))
    return tuple(rows)


def _row(method: str, columns: Mapping[str, Column]) -> RaceRow | FailedRow:
    """What the race says of one method."""
    column = columns[method]
    if failure := next((outcome.failure for outcome in column if outcome.failure is not None), None):
        return FailedRow(method, failure)
    scores = [_score(outcome, plain) for outcome, plain in zip(column, columns[PLAIN], strict=False)]
    found = [score for score in scores if score is not None]
    answers = [beyond(outcome) for outcome in column]
    asked = sum(number for _, number in answers)
    comparable = not any(outcome.failure for outcome in columns[PLAIN][: len(column)])
    return RaceRow(
        method,
        fmean(score.loss for score in found),
        sum(right for right, _ in answers) / asked if asked else None,
        asked,
        fmean(score.price for score in found) if comparable else None,
        tokens_per_second(column),
        tuple(score.cost() for score in found),
    )


def entrants(entry: racing.Race) -> tuple[str, ...]:
    """Return the candidates in the order in which they may race: the most promising first, those that failed last."""
    return tuple(dict.fromkeys((*entry.standing, *entry.candidates)))


def finalists(field: racing.Race, count: int, exportable: Collection[str], reserved: int = 1) -> tuple[str, ...]:
    """Return who is judged: the first `count` that may be the best, and the best that stock runtimes express.

    Where all candidates are too expensive on short texts, or fail, the most promising one is judged to show it. Where
    nobody raced, the order of the candidates decides.

    Arguments:
        reserved: how many places are kept for methods that stock runtimes express.
    """
    left = {each.candidate for each in field.eliminated if each.reason in ("worse", "price")}
    failed = {each.candidate for each in field.eliminated if each.reason == "failed"}
    promising = [name for name in field.standing if name not in left] or list(field.standing[:1])
    chosen = promising[:count] or list(field.candidates[: 1 if field.ranking.used else count])
    others = [name for name in field.candidates if name not in failed]  # did not race, the most promising first
    stock = [name for name in (*field.standing, *others) if name in exportable][:reserved]
    return tuple(chosen if any(name in exportable for name in chosen) else [*chosen, *stock])


def _score(outcome: Outcome, plain: Outcome) -> racing.Score | None:
    """The score of one reading; None where it failed."""
    if outcome.failure is not None:
        return None
    right, asked = beyond(outcome)
    short = outcome.result["short"]
    price = 0.0 if plain.failure is not None else short - plain.result["short"]
    second, whole = outcome.result["second_half"], outcome.result["loss"]
    return racing.Score(whole if second is None else second, right / asked if asked else None, price)


def _names(cells: Sequence[racing.Cell]) -> list[str]:
    return [cell.candidate for cell in cells]
