"""Who is judged after the race, and what the race says of those who are not."""

from collections.abc import Mapping
from math import inf

import pytest
from hypothesis import given

from longspan.measure.documents import Document
from longspan.measure.model import PLAIN
from longspan.measure.statistics.racing import Race, Score
from longspan.study.planning.budget import full_plan
from longspan.study.planning.cells import measurements
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import finalists
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

    def make(cells) -> Results:
        asked.extend(each.key for each in measurements(cells) if each.method != PLAIN)
        return Results(cells, record)

    race = raced(plan, make)
    assert len(asked) == len(set(asked)) <= plan.readings
    assert set(race.finalists) <= set(plan.candidates)
    if plan.races:
        read = sum(len(row.costs) for row in race.rows if isinstance(row, RaceRow) and row.method != PLAIN)
        assert read == len(asked)
        assert len(measurements(plan.whole_race())) >= len(asked)
        assert {each.candidate for each in race.eliminated if each.documents == 0} == (
            set(plan.candidates) - {row.method for row in race.rows}
        )
        assert len(race.documents) == max((len(row.costs) for row in race.rows if isinstance(row, RaceRow)), default=0)


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
