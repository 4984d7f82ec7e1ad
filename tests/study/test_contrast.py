"""Better and worse are what intervals say, whichever way a criterion points."""

import json
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.measure.statistics.interval import Estimate
from longspan.study.contrast import Contrast, Criterion, assess

LOW = Estimate(-0.2, -0.3, -0.1, 8)
HIGH = Estimate(0.2, 0.1, 0.3, 8)
UNSURE = Estimate(0.2, -0.1, 0.5, 8)
ENDS = st.tuples(*[st.floats(-9, 9)] * 3).map(sorted)
ESTIMATES = ENDS.map(lambda ends: Estimate(ends[1], ends[0], ends[2], 8)) | st.floats(-9, 9).map(
    lambda value: Estimate(value, -inf, inf, 1)
)
CONTRASTS = st.builds(Contrast, ESTIMATES, ESTIMATES, ESTIMATES, ESTIMATES | st.none(), ESTIMATES | st.none())


@pytest.mark.parametrize("criterion", [Criterion.LOSS, Criterion.SHORT])
def test_less_loss_is_better(criterion: Criterion) -> None:
    neutral = Contrast(UNSURE, UNSURE, UNSURE)
    assert neutral.which("the same") == tuple(Criterion)
    assert replace(neutral, **{criterion.value: LOW}).which("better") == (criterion,)
    assert replace(neutral, **{criterion.value: HIGH}).which("worse") == (criterion,)


def test_more_facts_are_better() -> None:
    assert Contrast(UNSURE, HIGH, UNSURE).which("better") == (Criterion.FACTS,)
    assert Contrast(UNSURE, LOW, UNSURE).which("worse") == (Criterion.FACTS,)


def test_speed_is_a_multiple() -> None:
    for speed, outcome in (((1.2, 1.1, 1.3), "better"), ((0.8, 0.7, 0.9), "worse"), ((1.1, 0.9, 1.3), "the same")):
        found = Contrast(UNSURE, UNSURE, UNSURE, speed=Estimate(*speed, 8))
        assert found.outcome(Criterion.SPEED) == outcome


@pytest.mark.parametrize("criterion", list(Criterion))
def test_an_interval_that_ends_at_no_difference_is_not_sure(criterion: Criterion) -> None:
    """As `below_zero` and `above_zero` of an estimate, by which methods win."""
    neutral = 1.0 if criterion is Criterion.SPEED else 0.0
    for low, high in ((neutral, neutral + 0.5), (neutral - 0.5, neutral), (neutral, neutral)):
        found = replace(Contrast(UNSURE, UNSURE, UNSURE), **{criterion.value: Estimate((low + high) / 2, low, high, 8)})
        assert found.outcome(criterion) == "the same"


@given(CONTRASTS)
def test_every_criterion_has_one_outcome_and_json_is_read_back(contrast: Contrast) -> None:
    outcomes = [contrast.which(each) for each in ("better", "worse", "the same")]
    assert sorted(criterion for each in outcomes for criterion in each) == sorted(Criterion)
    assert Contrast.of(json.loads(json.dumps(contrast.json(), allow_nan=False))) == contrast


@pytest.mark.parametrize(("price", "affordable"), [(0.02, True), (0.0201, False), (-1.0, True)])
def test_a_price_of_the_tolerance_is_affordable(price: float, affordable: bool) -> None:
    found = assess(Contrast(LOW, HIGH, Estimate(price, -9, 9, 8)), 0.02)
    assert found.affordable is affordable
    assert (found.beats_in_loss, found.beats_in_retrieval, found.beats) == (True, True, True)


@pytest.mark.parametrize(("loss", "facts", "beats"), [(HIGH, HIGH, True), (LOW, LOW, True), (HIGH, UNSURE, False)])
def test_one_criterion_is_enough_to_beat_truncation(loss: Estimate, facts: Estimate, beats: bool) -> None:
    assert assess(Contrast(loss, facts, UNSURE), 0.02).beats is beats
