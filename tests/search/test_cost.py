"""Cost: the exchange of loss and facts, and a penalty that counts beyond the tolerance only."""

from math import inf, sqrt
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.measure.statistics.racing import EXCHANGE, Race, Score
from longspan.search.cost import PENALTY, failure, rate, score, tail_cost

SCORES = st.lists(
    st.builds(Score, st.floats(0, 10), st.floats(0, 1), st.floats(-0.5, 0.5)), min_size=1, max_size=8
)  # fmt: skip
RESULT = {
    "loss": 3.0,
    "second_half": 2.5,
    "short": 2.25,
    "questions": [
        {"distance": 64, "right": True},
        {"distance": 65, "right": True},
        {"distance": 100, "right": False},
        {"distance": 200, "right": True},
        {"distance": 250, "right": False},
    ],
}


@given(SCORES, st.floats(0, 0.1))
def test_the_formula(scores: list[Score], tolerance: float) -> None:
    prices = [each.price for each in scores]
    error = stdev(prices) / sqrt(len(prices)) if len(prices) > 1 else 0.0
    excess = max(0.0, fmean(prices) + error - tolerance)
    expected = fmean(each.cost() for each in scores) + PENALTY * excess
    found = rate("m", scores, tolerance)
    assert found.cost == pytest.approx(expected, abs=1e-9)
    assert found.price == pytest.approx(fmean(prices), abs=1e-12)


@given(SCORES, SCORES)
def test_within_the_tolerance_the_order_is_that_of_a_race(first: list[Score], second: list[Score]) -> None:
    """Where no price counts, whoever costs less here leads a race over the same documents."""
    count = min(len(first), len(second))
    fields = {"a": first[:count], "b": second[:count]}
    race = Race(list(fields), [str(i) for i in range(count)], tolerance=1.0)
    for name, scores in fields.items():
        for i, each in enumerate(scores):
            race.add(name, str(i), each)
    cost = {name: rate(name, scores, 100.0).cost for name, scores in fields.items()}
    if abs(cost["a"] - cost["b"]) > 1e-9 and len(race.alive) == 2:
        assert race.alive[0] == min(cost, key=cost.__getitem__)


@given(SCORES, st.floats(0, 0.1), st.randoms())
def test_the_order_of_documents_does_not_matter(scores: list[Score], tolerance: float, random: object) -> None:
    shuffled = sorted(scores, key=lambda _: getattr(random, "random")())  # noqa: B009
    assert rate("m", shuffled, tolerance).cost == pytest.approx(rate("m", scores, tolerance).cost, abs=1e-9)


def test_a_failure_is_worse_than_everything_and_has_no_number_in_json() -> None:
    failed = failure("m", "NaN")
    assert failed.cost == inf
    assert failed.json() == {
        "method": "m", "cost": None, "loss": None, "facts": None, "price": None, "failed": "NaN"
    }  # fmt: skip


def test_what_a_reading_counts_as() -> None:
    """Facts within the trained length of 64 do not count."""
    assert score(RESULT, 64, short=2.0) == Score(2.5, 0.5, 0.25)
    assert tail_cost(RESULT, 64) == 3.0 - 0.5 * EXCHANGE
    near = {**RESULT, "questions": RESULT["questions"][:1]}
    assert score(near, 64, short=2.0) == Score(2.5, None, 0.25)
    assert tail_cost(near, 64) is None


@given(SCORES, st.lists(st.floats(0, 10), max_size=3))
def test_a_document_without_far_facts_counts_in_loss_and_not_in_facts(scores: list[Score], losses: list[float]) -> None:
    """Whoever finds all far facts has a share of 1, however many documents hold none."""
    some = [Score(each.loss, 1.0, 0.0) for each in scores]
    found = rate("m", [*some, *(Score(loss, None) for loss in losses)], 0.02)
    assert found.facts == 1.0
    assert found.cost == pytest.approx(fmean([*(each.loss for each in some), *losses]) - EXCHANGE)
