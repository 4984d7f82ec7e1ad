"""The summary shows what the plan measures: every cell of it, and nothing else."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.measure.corpus.documents import Document
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN
from longspan.study.judgement import summarize
from longspan.study.planning.budget import full_plan
from longspan.study.planning.cells import TRUNCATION, Cell, Quantity
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.results import Outcome, Results
from longspan.study.summary import FailedRow, MethodRow, Summary
from study.drawn import plans, raced, record, setting

VOCABULARY = 1000


@dataclass(frozen=True)
class WatchedOutcome(Outcome):
    """Notes when its result is used; to look whether it failed is not to use it."""

    cell: Cell
    used: list[Cell]

    @property
    def result(self) -> dict[str, Any]:
        self.used.append(self.cell)
        return super().result


class Watched(Results):
    """Notes which cells are used."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        super().__init__([], record)
        self.cells = list(cells)
        self.used: list[Cell] = []
        for cell in self.cells:
            outcome = WatchedOutcome(cell.asked, record(cell.asked), cell, self.used)
            self._columns.setdefault(cell.column, []).append(outcome)


@given(plans())
@settings(max_examples=30)
def test_every_cell_of_a_plan_is_used_and_nothing_else_is(plan: StudyPlan) -> None:
    """A column that is no cell of the plan would be a KeyError."""
    heats: list[Watched] = []

    def watched(cells: list[Cell]) -> Watched:
        heats.append(Watched(cells))
        return heats[-1]

    race = raced(plan, watched)
    assert all(set(heat.used) == set(heat.cells) for heat in heats)
    judged = Watched(plan.judgement_cells(race.finalists))
    found = summarize(plan, race, judged, setting(plan), VOCABULARY)
    assert set(judged.used) == set(plan.judgement_cells(race.finalists))
    assert [row.method for row in found.methods] == [*plan.baselines, *race.finalists]
    assert Summary.of(found.json()) == found


@given(plans())
@settings(max_examples=30)
def test_a_summary_shows_what_the_plan_measures(plan: StudyPlan) -> None:
    race = raced(plan)
    found = summarize(plan, race, Results(plan.judgement_cells(race.finalists), record), setting(plan), VOCABULARY)
    for row in found.measured:
        assert list(row.retrieval) == list(plan.lengths)
        least = plan.subject.trained_length if row.method == TRUNCATION else 0
        assert list(row.loss) == [context for context in plan.contexts if context >= least]
        few = row.method == PLAIN or row.method in race.finalists[plan.finalists :]
        assert row.beyond.documents == len(plan.whole if few else plan.judge)
        assert set(row.against) == {name for name in plan.baselines if name != row.method and row.method != TRUNCATION}


@given(plans(), st.data())
@settings(max_examples=30)
def test_a_method_that_failed_anywhere_has_the_reason_and_no_numbers(plan: StudyPlan, data: st.DataObject) -> None:
    race = raced(plan)
    cells = plan.judgement_cells(race.finalists)
    failed = data.draw(st.sampled_from(cells)).asked
    results = Results(cells, lambda a: {**record(a), "result": None, "failed": "NaN"} if a == failed else record(a))
    found = summarize(plan, race, results, setting(plan), VOCABULARY)
    touched = {cell.row for cell in cells if cell.asked == failed}
    assert {row.method for row in found.failures} == touched
    assert found.failures == [FailedRow(row.method, "NaN") for row in found.failures]
    if touched & {PLAIN, TRUNCATION}:
        assert not found.judged
        assert found.verdict.obstacle
        assert not any(row.assessment for row in found.methods if isinstance(row, MethodRow))


def found_all(near: Collection[str]) -> Callable[[Measurement], dict[str, Any]]:
    """Records in which every method finds all far facts and the plain model none; `near` documents hold none."""

    def answered(asked: Measurement) -> dict[str, Any]:
        made = record(asked)
        if "questions" not in made["result"]:
            return made
        right, trained = asked.method != PLAIN, asked.trained_length
        distance = trained - 1 if asked.document.path in near else trained + 1
        questions = [{"depth": 0.5, "distance": distance, "right": right, "scores": []}] * 4
        return {**made, "result": {**made["result"], "questions": questions, "right": 4 * right, "asked": 4}}

    return answered


@pytest.mark.parametrize("far", [8, 7])
def test_a_document_without_far_facts_is_none_of_which_nothing_was_found(far: int) -> None:
    """The share that is printed and the points between methods agree; a verdict needs eight documents with facts."""
    documents = [Document(f"{i}.txt", 0, 512, str(i)) for i in range(12)]
    plan = full_plan(Subject("m", "float32", "0" * 16, 64, 512), ["rerope(window=8)"], (), documents)
    cells, make = plan.judgement_cells(plan.candidates), found_all([document.path for document in documents[far:]])
    found = summarize(plan, raced(plan), Results(cells, make), setting(plan), VOCABULARY)
    row, plain = found.row("rerope(window=8)"), found.row(PLAIN)
    assert row
    assert plain
    assert (row.beyond.value, plain.beyond.value) == (1.0, 0.0)
    assert row.against[PLAIN].facts.value == 1.0
    assert row.against[PLAIN].loss.documents == row.documents == 12
    assert row.against[PLAIN].facts.documents == row.beyond.documents == far
    cost = row.against[PLAIN].cost
    assert cost
    assert cost.documents == far
    assert found.judged == (far == 8)
    if far < 8:
        assert (
            found.verdict.obstacle == "7 of 12 documents hold facts farther back than 64 tokens, at least 8 are needed"
        )
        assert found.verdict.leading == "rerope(window=8)"


def test_a_cell_that_no_plan_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        Results([], record).column(PLAIN, Quantity.LOSS, 512)
