"""Results: the cells of a plan with what was measured for them; a summary reads nothing else."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from longspan.measure.measurement import Measurement
from longspan.study.planning.cells import Cell, Quantity


@dataclass(frozen=True)
class Outcome:
    """What came of the measurement of one cell.

    Arguments:
        asked: the measurement.
        record: as `longspan.measure.measurement.measure` makes it; None where it was not made.
    """

    asked: Measurement
    record: Mapping[str, Any] | None

    @property
    def failure(self) -> str | None:
        """Why there is no result; None where there is one."""
        if self.record is None:
            return "not measured"
        return self.record["failed"] if self.record["result"] is None else None

    @property
    def result(self) -> dict[str, Any]:
        """What the measurement's kind says; only where nothing failed."""
        assert self.record is not None
        return self.record["result"]

    @property
    def seconds(self) -> float:
        """How long it took."""
        assert self.record is not None
        return self.record["seconds"]

    @property
    def device(self) -> str | None:
        """Where it was made; None in older records."""
        assert self.record is not None
        return self.record.get("device")

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process held meanwhile."""
        assert self.record is not None
        return self.record["peak_bytes"]


Column = list[Outcome]
"""The cells of one row, quantity and number of tokens, one per document."""


class Results:
    """The outcomes of cells, by the cells' names.

    Arguments:
        cells: of a plan.
        record: finds the record of a measurement.
    """

    def __init__(self, cells: Iterable[Cell], record: Callable[[Measurement], Mapping[str, Any] | None]) -> None:
        self._columns: dict[tuple[str, Quantity, int], Column] = {}
        for cell in cells:
            self._columns.setdefault(cell.column, []).append(Outcome(cell.asked, record(cell.asked)))

    def column(self, row: str, quantity: Quantity, tokens: int) -> Column:
        """Return the outcomes of a column, in the order of its documents.

        Errors: KeyError for a column that the plan does not have.
        """
        return self._columns[row, quantity, tokens]

    def columns(self, row: str, quantity: Quantity) -> dict[int, Column]:
        """Return the columns of a row and quantity by their tokens, the fewest first."""
        names = sorted(name for name in self._columns if name[:2] == (row, quantity))
        return {name[2]: self.column(*name) for name in names}

    def failure(self, row: str) -> str | None:
        """Return why a row has no numbers: its first failure; None where everything was measured."""
        columns = (column for quantity in Quantity for column in self.columns(row, quantity).values())
        failures = (outcome.failure for column in columns for outcome in column)
        return next((failure for failure in failures if failure is not None), None)


def tokens_per_second(column: Column) -> float | None:
    """Return how fast the texts of a column were read; None where that took no time that can be measured."""
    seconds = sum(outcome.seconds for outcome in column)
    return sum(sum(outcome.asked.readings()) for outcome in column) / seconds if seconds else None


def beyond(outcome: Outcome) -> tuple[int, int]:
    """Return right and asked of the far facts: those farther back than the trained length, or all in shorter texts."""
    far = [question["right"] for question in outcome.result["questions"] if outcome.asked.is_far(question["distance"])]
    return sum(far), len(far)
