"""Who is judged after the race, and what the race says of those who are not."""

import json
from collections.abc import Mapping, Set
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given

from longspan.measure.corpus.documents import Document
from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.racing import Race, Score
from longspan.study import summary
from longspan.study.planning.budget import full_plan
from longspan.study.planning.cells import measurements
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import Heats, finalists
from longspan.study.results import Results
from longspan.study.summary import FailedRow, RaceRow
from study.drawn import plans, raced, record


def field(scores: Mapping[str, tuple[float, float]], count: int = 1, budget: float = inf) -> Race:
    """A race that is over: cost and price of each candidate, on every document."""
    race = Race(list(scores), [str(i) for i in range(count)], budget)
    for name, (cost, price) in scores.items():
        for i in range(count):
            race.add(name, str(i), Score(cost + 0.01 * ((7 * i + len(name)) % 5), 0.0, price))
    return race


DOCUMENTS = tuple(Document(f"{i}.txt", 0, 512, str(i)) for i in range(10))
SIX = full_plan(
    Subject("m", "float32", "0" * 16, 64, 512), [f"rerope(window={w})" for w in range(6)], DOCUMENTS[8:], DOCUMENTS[:8]
)
FOUR = {"a": (3.0, 0.0), "bb": (2.9, 0.0), "ccc": (2.8, 0.0), "dddd": (3.1, 0.0)}


def test_the_lowest_costs_are_judged() -> None:
    assert finalists(field(FOUR), 3, set()) == ("ccc", "bb", "a")


def test_too_high_a_price_comes_last() -> None:
    assert finalists(field({**FOUR, "ccc": (2.0, 0.05)}), 3, set()) == ("bb", "a", "dddd")


def test_what_is_surely_worse_is_not_judged() -> None:
    race = field({**FOUR, "a": (9.0, 0.0)}, count=8)
    assert "a" in {each.candidate for each in race.eliminated if each.reason == "worse"}
    assert "a" not in finalists(race, 4, set())


def test_the_best_that_stock_runtimes_express_has_a_place() -> None:
    assert finalists(field(FOUR), 2, {"a", "dddd"}) == ("ccc", "bb", "a")
    assert finalists(field(FOUR), 2, {"bb"}) == ("ccc", "bb")
    surely_worse = field({**FOUR, "a": (9.0, 0.0), "dddd": (9.5, 0.0)}, count=8)
    assert finalists(surely_worse, 2, {"a", "dddd"})[-1] == "a"


def test_where_all_are_too_expensive_one_is_judged() -> None:
    race = field({name: (cost, 0.5) for name, (cost, _) in FOUR.items()}, count=8)
    assert all(each.reason == "price" for each in race.eliminated)
    assert finalists(race, 3, set()) == ("ccc",)


def test_where_all_fail_one_is_judged() -> None:
    race = Race(["a", "b"], ["0"])
    for name in "ab":
        race.add(name, "0", None)
    assert finalists(race, 1, {"a"}) == ("a",)


@given(plans())
def test_a_race_never_reads_more_than_its_budget(plan: StudyPlan) -> None:
    asked: list[str] = []
    entered: list[str] = []

    def make(cells) -> Results:
        for each in measurements(cells):
            if each.method != PLAIN:
                (entered if each.length == plan.entry_length else asked).append(each.key)
        return Results(cells, record)

    race = raced(plan, make)
    assert len(asked) == len(set(asked)) <= plan.readings
    assert len(entered) == len(set(entered)) == (len(plan.candidates) if plan.entry_length else 0)
    assert len(race.entry) == len(entered)
    assert race.entry_length == plan.entry_length
    assert summary.Race.of(json.loads(json.dumps(race.json())), 1) == race
    assert set(race.finalists) <= set(plan.candidates)
    if plan.races:
        read = sum(len(row.costs) for row in race.rows if isinstance(row, RaceRow))
        assert read == len(asked)
        assert len(measurements(plan.whole_race())) >= len(asked) + len(entered)
        unread = {each.candidate for each in race.eliminated if each.documents == 0}
        assert unread == (set(plan.candidates) - {row.method for row in race.rows} if plan.readings else set())
        assert len(race.documents) == max((len(row.costs) for row in race.rows if isinstance(row, RaceRow)), default=0)


FOURTEEN = [f"rerope(window={w})" for w in range(14)]


def cut(exportable: Set[str] = frozenset()) -> StudyPlan:
    """A plan in which four of fourteen race, after all have read 128 tokens."""
    plan = full_plan(SIX.subject, FOURTEEN, SIX.race, SIX.judge, exportable)
    return replace(plan, readings=4, finalists=1)


def said(short: Mapping[str, float], long: Mapping[str, float], failing: Set[str] = frozenset()):
    """Records whose losses are those of a method, on the shorter text and on the others."""

    def make(cells) -> Results:
        def answer(asked) -> dict[str, Any]:
            found = record(asked)
            if asked.method in failing:
                return {**found, "result": None, "failed": "NaN"}
            loss = (short if asked.length == 128 else long).get(asked.method, 5.0)
            return {
                **found,
                "result": {**found["result"], "second_half": loss, "loss": -loss, "short": 0.0, "questions": []},
            }

        return Results(cells, answer)

    return make


SHORT = {name: 4.0 - i / 100 for i, name in enumerate(FOURTEEN)}
"""Later candidates look better on the shorter text."""


def test_a_race_without_far_facts_says_nothing_of_them() -> None:
    race = raced(cut(), said(SHORT, {FOURTEEN[11]: 1.0}))
    for row in (*race.rows, *race.entry):
        assert isinstance(row, RaceRow)
        assert (row.beyond, row.asked) == (None, 0)
        assert row.costs == (row.loss,)
    assert summary.Race.of(json.loads(json.dumps(race.json())), 1) == race


def test_who_looks_best_on_the_shorter_text_races() -> None:
    race = raced(cut(), said(SHORT, {FOURTEEN[11]: 1.0}))
    assert [row.method for row in race.entry] == [*reversed(FOURTEEN)]
    assert {row.method for row in race.rows} == {*FOURTEEN[10:]}
    assert race.finalists == (FOURTEEN[11],)
    assert {each.candidate for each in race.eliminated if each.documents == 0} == set(FOURTEEN[:10])


def test_the_first_text_is_the_end_of_the_race() -> None:
    """What decides who races is not what they race on first."""
    plan = cut()
    assert {cell.asked.document for cell in plan.entry_cells()} == {plan.race[-1]} != {plan.race[0]}
    assert {cell.asked.document for cell in plan.race_cells(0, FOURTEEN)} == {plan.race[0]}


def test_what_fails_on_the_shorter_text_does_not_race() -> None:
    race = raced(cut(), said(SHORT, {}, failing={FOURTEEN[13]}))
    assert race.entry[-1] == FailedRow(FOURTEEN[13], "NaN")
    assert {row.method for row in race.rows} == {*FOURTEEN[9:13]}


def test_the_best_for_stock_runtimes_is_judged_even_if_it_did_not_race() -> None:
    race = raced(cut({FOURTEEN[2], FOURTEEN[5]}), said(SHORT, {FOURTEEN[12]: 1.0}))
    assert race.finalists == (FOURTEEN[12], FOURTEEN[5])
    race = raced(cut({FOURTEEN[2], FOURTEEN[10]}), said(SHORT, {FOURTEEN[12]: 1.0}))
    assert race.finalists == (FOURTEEN[12], FOURTEEN[10])


def test_without_a_race_who_looks_best_on_the_shorter_text_is_judged() -> None:
    race = raced(replace(cut(), readings=0, finalists=2, reserved=0), said(SHORT, {}, failing={FOURTEEN[13]}))
    assert race.finalists == (FOURTEEN[12], FOURTEEN[11])
    assert race.rows == ()
    assert race.documents == ()


def test_no_place_is_kept_where_the_budget_has_none() -> None:
    assert finalists(field(FOUR), 2, {"a", "dddd"}, 0) == ("ccc", "bb")


def test_what_is_measured_next_is_said() -> None:
    plan, stages = cut(), []
    heats = Heats(plan, 0.02)
    while cells := heats.next():
        stages.append(heats.stage)
        heats.add(said(SHORT, {})(cells))
    assert stages[:2] == ["race, a shorter text", "race, text 1"]


@pytest.mark.parametrize("failing", ["rerope(window=1)", PLAIN])
def test_a_candidate_that_fails_has_the_reason(failing: str) -> None:

    def make(cells) -> Results:
        return Results(
            cells, lambda a: {**record(a), "result": None, "failed": "NaN"} if a.method == failing else record(a)
        )

    race = raced(SIX, make)
    assert FailedRow(failing, "NaN") in race.rows
    assert failing not in race.finalists
    prices = [row.price for row in race.rows if isinstance(row, RaceRow)]
    assert prices
    assert all((price is None) == (failing == PLAIN) for price in prices)
