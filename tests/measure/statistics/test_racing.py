"""A race drops what is surely worse, never tells equals apart, and does not depend on orders, levels or clocks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.statistics.racing import Cell, Elimination, Race, Score

Table = Mapping[Cell, Score | None]
NAMES = ("a", "b", "c", "d", "e")


def documents(count: int) -> tuple[str, ...]:
    return tuple(f"text {i}" for i in range(count))


def run(table: Table, names: Sequence[str], count: int, budget: float = inf) -> Race:
    """Measure what the race wants until it wants nothing."""
    race = Race(names, documents(count), budget)
    while cells := race.next():
        for cell in cells:
            race.add(*cell, table[cell])
    return race


def judged(table: Table, names: Sequence[str], count: int) -> Race:
    """A race that knows every score from the start."""
    race = Race(names, documents(count))
    for cell, score in table.items():
        race.add(*cell, score)
    return race


def table(costs: np.ndarray, facts: float = 0.5, price: float = 0.0) -> dict[Cell, Score | None]:
    """Scores of losses, shape (candidates, documents)."""
    texts = documents(costs.shape[1])
    return {
        Cell(NAMES[i], text): Score(float(costs[i, j]), facts, price)
        for i in range(len(costs))
        for j, text in enumerate(texts)
    }


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[Cell, Score | None], int]:
    """Scores of three to five candidates on 1 to 14 documents: hard and easy documents, good and bad candidates."""
    candidates, count = draw(st.integers(3, 5)), draw(st.integers(1, 14))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    effects = random.choice([0.0, 0.01, 0.1, 0.5], candidates)
    costs = random.normal(4, 0.4, count) + effects[:, None] + random.normal(0, 0.05, (candidates, count))
    made = table(costs)
    for cell in made:
        made[cell] = Score(made[cell].loss, float(random.integers(0, 9) / 8), float(random.normal(0.0, 0.01)))  # type: ignore[union-attr]
    return made, count


def names_in(made: Table) -> list[str]:
    return list(dict.fromkeys(cell.candidate for cell in made))


@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_changes_nothing(drawn, random) -> None:
    made, count = drawn
    names = names_in(made)
    mixed = random.sample(names, len(names))
    first, second = run(made, names, count), run(made, mixed, count)
    assert (first.alive, first.best, first.tied) == (second.alive, second.best, second.tied)
    assert set(first.eliminated) == set(second.eliminated)
    assert set(first.ranking.used) == set(second.ranking.used)


@given(tables(), st.randoms(use_true_random=False), st.integers(1, 60))
def test_the_order_in_which_scores_come_changes_nothing(drawn, random, budget: int) -> None:
    made, count = drawn
    names = names_in(made)
    race, again = run(made, names, count, budget), Race(names, documents(count), budget)
    for cell in random.sample(sorted(made), len(made)):  # also those that the race would not have asked for
        again.add(cell.candidate, cell.document, made[cell])
    assert again.ranking == race.ranking


@given(tables(), st.integers(1, 60))
def test_what_makes_a_document_hard_changes_nothing(drawn, budget: int) -> None:
    """Losses are multiples of 1/64 here, so that sums are exact."""
    made, count = drawn
    exact = {cell: replace(score, loss=round(score.loss * 64) / 64, facts=0.5) for cell, score in made.items() if score}
    hard = {text: 2.0 * i for i, text in enumerate(documents(count))}
    moved = {cell: replace(score, loss=score.loss + hard[cell.document]) for cell, score in exact.items()}
    first, second = run(exact, names_in(made), count, budget), run(moved, names_in(made), count, budget)
    assert first.ranking == second.ranking


@given(tables())
def test_a_twin_is_tied_and_eliminated_by_nobody_else_than_its_twin_is(drawn) -> None:
    made, count = drawn
    twin = {Cell("twin", cell.document): score for cell, score in made.items() if cell.candidate == "a"}
    race = run({**made, **twin}, [*names_in(made), "twin"], count)
    by = {each.candidate: each.by for each in race.eliminated}
    assert by.get("a") != "twin"
    assert by.get("twin") != "a"
    assert ("a" in race.alive) == ("twin" in race.alive)
    assert ("a" in (race.best, *race.tied)) == ("twin" in (race.best, *race.tied))


@given(st.integers(7, 14))
def test_a_dominated_candidate_goes(count: int) -> None:
    """Worse by about the same on every document."""
    costs = np.random.default_rng(count).normal(4, 0.4, (1, count)).repeat(3, 0)
    costs[1] += 0.3 + np.random.default_rng(count + 1).normal(0, 0.02, count)
    race = run(table(costs), NAMES[:3], count)
    assert race.alive == ("a", "c")
    assert [each.candidate for each in race.eliminated] == ["b"]
    assert race.eliminated[0].reason == "worse"
    assert race.eliminated[0].by in {"a", "c"}
    assert race.eliminated[0].documents < 7


def test_facts_and_loss_both_count() -> None:
    """30 points of facts outweigh 0.1 nats, and 5 points do not."""
    draw = np.random.default_rng(0).normal(0, 0.01, (3, 10))
    made = table(4 + draw)
    for cell, score in made.items():
        assert score is not None
        loss, facts = {"a": (0.0, 0.2), "b": (0.1, 0.5), "c": (0.1, 0.25)}[cell.candidate]
        made[cell] = Score(score.loss + loss, facts)
    race = run(made, NAMES[:3], 10)
    assert race.best == "b"
    assert {each.candidate: each.by for each in race.eliminated} == {"a": "b", "c": "b"}


def test_the_best_candidate_leaves_as_the_worse_one_in_5_of_100_races_at_most() -> None:
    """Of equals each is the best one, so that every elimination is an error."""
    draw = np.random.default_rng(0)
    races = [judged(table(draw.normal(4, 0.1, (5, 30))), NAMES, 30) for _ in range(400)]
    assert np.mean([bool(race.eliminated) for race in races]) <= 0.05


def priced(count: int) -> dict[Cell, Score | None]:
    """a and b have a lower loss than c; a costs a little too much, b far too much."""
    random = np.random.default_rng(0)
    made = table(4 + random.normal(0, 0.01, (3, count)))
    for cell, score in made.items():
        assert score is not None
        base, price = {"a": (-0.3, 0.03), "b": (-0.3, 0.4), "c": (0.0, 0.0)}[cell.candidate]
        made[cell] = Score(score.loss + base, 0.5, price + float(random.normal(0, 0.005)))
    return made


@pytest.mark.parametrize("count", [4, 10])
def test_what_is_too_expensive_is_not_best_and_eliminates_nobody(count: int) -> None:
    race = run(priced(count), NAMES[:3], count)
    assert race.best == "c"
    assert "a" not in race.tied


def test_a_budget_cuts_what_is_too_expensive_first() -> None:
    race = run(priced(10), NAMES[:3], 10, budget=8)
    assert "budget" in {each.reason for each in race.eliminated}
    assert race.best == "c"


def test_what_is_surely_too_expensive_leaves() -> None:
    race = run(priced(10), NAMES[:3], 10)
    assert next(each for each in race.eliminated if each.candidate == "b").reason == "price"
    assert all(each.by is None for each in race.eliminated)


def test_a_candidate_that_fails_leaves_at_once_and_is_not_asked_again() -> None:
    made = table(np.random.default_rng(0).normal(4, 0.1, (3, 5)))
    made[Cell("b", "text 1")] = None
    race = run(made, NAMES[:3], 5)
    assert Elimination("b", "failed", None, 2) in race.eliminated
    assert [cell.document for cell in race.ranking.used if cell.candidate == "b"] == ["text 0", "text 1"]


@given(tables(), st.integers(0, 80))
def test_a_budget_is_never_exceeded_and_spent_on_those_that_are_left(drawn, budget: int) -> None:
    made, count = drawn
    names = names_in(made)
    race = run(made, names, count, budget)
    used = race.ranking.used
    assert len(used) <= budget
    assert len(set(used)) == len(used)
    reads = {name: sum(cell.candidate == name for cell in used) for name in names}
    assert all(reads[name] == max(reads.values()) for name in race.alive if reads[name])
    if 0 < budget < len(names):
        assert [each.candidate for each in race.eliminated] == names[budget:]
    if budget:
        assert race.alive


@given(tables())
def test_a_budget_for_everything_cuts_nothing(drawn) -> None:
    made, count = drawn
    names = names_in(made)
    assert run(made, names, count, len(names) * count).ranking == run(made, names, count).ranking


@pytest.mark.parametrize("budget", [12, 13])
def test_halving_by_hand(budget: int) -> None:
    """Four candidates read one document; 8 cells are left for the better two, 4 documents; a 13th compares nothing."""
    costs = np.array([[4.0], [4.02], [4.5], [4.6]]) + np.random.default_rng(0).normal(0, 0.03, (4, 9))
    race = run(table(costs), NAMES[:4], 9, budget)
    assert [(each.candidate, each.reason, each.documents) for each in race.eliminated] == [
        ("c", "budget", 1),
        ("d", "budget", 1),
    ]
    assert [cell.document for cell in race.ranking.used if cell.candidate == "a"] == list(documents(5))
    assert {race.best, *race.tied} == {"a", "b"}


@given(tables(), st.integers(0, 80))
def test_those_that_stand_first_are_the_best_one_and_its_equals(drawn, budget: int) -> None:
    """Two ways to the same order; everybody who was read and did not fail stands somewhere, the too expensive last."""
    made, count = drawn
    race = run(made, names_in(made), count, budget)
    affordable, standing = race.ranking.affordable, race.standing
    assert standing[: len(affordable)] == affordable
    assert sorted(standing) == sorted({cell.candidate for cell in race.ranking.used})
    dear = [np.mean([score.price for score in race.scores(name)]) > race.tolerance for name in standing]
    assert dear == sorted(dear)


def test_the_whole_order_by_hand() -> None:
    """Read most, then cut by the budget, then surely worse, then too expensive; a failure stands nowhere."""
    random, count = np.random.default_rng(0), 40
    names = ("failed", "dear", "worse", "cut", "best", "equal")
    losses = {"best": 4.0, "equal": 4.004, "cut": 4.05, "worse": 5.0, "dear": 3.0, "failed": 3.0}
    hard = random.normal(0, 0.3, count)
    race = Race(names, documents(count), 90)
    while cells := race.next():
        for name, text in cells:
            place = documents(count).index(text)
            loss = losses[name] + hard[place] + random.normal(0, 0.2 if name == "cut" else 0.01)
            price = 0.5 + random.normal(0, 0.01) if name == "dear" else 0.0
            race.add(name, text, None if name == "failed" else Score(loss, 0.5, price))
    reasons = {each.candidate: each.reason for each in race.eliminated}
    assert reasons == {"failed": "failed", "dear": "price", "worse": "worse", "cut": "budget"}
    assert race.standing == ("best", "equal", "cut", "worse", "dear")
    assert race.standing[:2] == (race.best, *race.tied)


def test_a_price_at_the_tolerance_can_be_afforded() -> None:
    made = table(np.array([[4.0, 4.1, 4.2], [4.5, 4.6, 4.7]]))
    made |= {cell: replace(score, price=0.25) for cell, score in made.items() if score and cell.candidate == "a"}
    race = Race(NAMES[:2], documents(3), tolerance=0.25)
    for cell, score in made.items():
        race.add(cell.candidate, cell.document, score)
    assert race.best == "a"
    assert race.standing == ("a", "b")


@given(st.integers(1, 12), st.sampled_from([0.01, 0.05, 0.5, 0.9]), st.integers(0, 99))
def test_without_evidence_nobody_leaves_at_any_level(count: int, level: float, seed: int) -> None:
    """Equal costs, and a price of nothing."""
    costs = np.random.default_rng(seed).normal(4, 0.4, (1, count)).repeat(2, 0)
    race = Race(NAMES[:2], documents(count), level=level)
    for cell, score in table(costs).items():
        race.add(cell.candidate, cell.document, score)
    assert race.eliminated == ()
    assert race.alive == NAMES[:2]


@given(tables(), st.integers(0, 80))
def test_who_leaves_is_said_to_leave_after_what_was_read_of_it(drawn, budget: int) -> None:
    """Whom the budget cuts looked worse than one that reads on; before the first document nobody looks worse."""
    made, count = drawn
    race = run(made, names_in(made), count, budget)
    reads = {name: sum(cell.candidate == name for cell in race.ranking.used) for name in names_in(made)}
    assert {each.candidate: each.documents for each in race.eliminated}.items() <= reads.items()
    for each in race.eliminated:
        if each.reason == "budget":
            assert (each.by is None) == (each.documents == 0)
            assert each.by is None or reads[each.by] > each.documents
    if not budget:
        assert race.alive == tuple(names_in(made))


@given(tables(), st.sampled_from([0.0, 0.5, 2.0]))
def test_facts_are_worth_what_the_exchange_says(drawn, exchange: float) -> None:
    """As many more facts at the usual exchange; facts are eighths here, so that products are exact."""
    made, count = drawn
    races = [Race(names_in(made), documents(count), exchange=each) for each in (exchange, 1.0)]
    for cell, score in made.items():
        assert score is not None
        races[0].add(cell.candidate, cell.document, score)
        races[1].add(cell.candidate, cell.document, replace(score, facts=exchange * score.facts))
    assert races[0].ranking == races[1].ranking


@given(tables(), st.sampled_from([0.5, 0.9]))
def test_a_lower_level_eliminates_sooner_or_as_soon(drawn, level: float) -> None:
    made, count = drawn
    races = [Race(names_in(made), documents(count), level=each) for each in (level, 0.99)]
    for race in races:
        for cell, score in made.items():
            race.add(cell.candidate, cell.document, score)
    bold, careful = ({each.candidate: each.documents for each in race.eliminated} for race in races)
    first = min(careful.values(), default=count + 1)
    assert min(bold.values(), default=count + 1) <= first


def test_before_the_first_document_nothing_is_best() -> None:
    race = Race(NAMES, documents(2))
    assert race.best is None
    assert race.tied == ()
    assert race.next() == tuple(Cell(name, "text 0") for name in NAMES)


@pytest.mark.parametrize(
    ("candidates", "texts", "message"),
    [
        (["a", "a"], ["t"], "the candidates of a race need different names, got a, a"),
        (["a"], ["t", "t"], "the documents of a race need different names, got t, t"),
        ([], ["t"], "a race needs one candidate at least, got none"),
    ],
)
def test_a_race_needs_names(candidates: list[str], texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Race(candidates, texts)


def test_a_score_is_finite_and_a_cell_takes_part() -> None:
    with pytest.raises(InputError, match=r"must be finite, got .*nan.*: give None for a candidate that failed"):
        Score(nan, 0.5)
    with pytest.raises(InputError, match="'z' on 't' is no cell of this race"):
        Race(["a"], ["t"]).add("z", "t", None)
