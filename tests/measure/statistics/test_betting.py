"""Bounds by betting hold at all times together, and are not much wider than those for a fixed number of values."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.statistics.betting import FRACTIONS, evidence, lower_bound, upper_bound, values_needed
from longspan.measure.statistics.interval import wilson

RUNS, DOCUMENTS = 1000, 60
scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=30)


def test_wealth_by_hand() -> None:
    """Two values, every fraction: the mean of the products; the larger of the wealths after one and after two."""
    first, second = 1.0, 0.2
    after_one = sum(1 + f * (first - 0.4) / 0.4 for f in FRACTIONS) / len(FRACTIONS)
    both = sum((1 + f * 0.6 / 0.4) * (1 - f * 0.2 / 0.4) for f in FRACTIONS) / len(FRACTIONS)
    assert evidence([first, second], 0.4, 0.0, 1.0) == pytest.approx(max(after_one, both), rel=1e-12)


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.85, 0.98])
def test_bounds_hold_at_all_times_in_95_of_100_runs(mean: float) -> None:
    """The bound after all values is the highest of those on the way, so that one look at the end is a look at each."""
    draw = np.random.default_rng(0)
    runs = draw.binomial(4, mean, (RUNS, DOCUMENTS)) / 4
    false = sum(evidence(run, mean, 0.0, 1.0) >= 20 for run in runs.tolist())
    assert false <= 0.05 * RUNS


def test_looking_after_every_value_breaks_an_interval_for_a_fixed_number() -> None:
    """The negative control of the test above: the same runs, with Wilson's interval looked at every time."""
    draw = np.random.default_rng(0)
    runs = draw.binomial(1, 0.5, (RUNS, DOCUMENTS))
    shares = runs.cumsum(1) / np.arange(1, DOCUMENTS + 1)
    false = sum(any(wilson(float(run[n - 1]), n, 0.9)[0] > 0.5 for n in range(5, DOCUMENTS + 1)) for run in shares)
    assert false > 0.1 * RUNS


@given(scores, st.floats(0.01, 0.99), st.floats(-3, 3), st.floats(0.1, 5))
def test_units_change_nothing(values: list[float], mean: float, shift: float, size: float) -> None:
    moved = [shift + size * value for value in values]
    low, high = shift, max(shift + size, *moved)
    assert evidence(moved, shift + size * mean, low, high) == pytest.approx(evidence(values, mean, 0.0, 1.0), rel=1e-6)


@given(scores, st.floats(-3, 3), st.sampled_from([1e-3, 0.7, 1e3]))
def test_units_move_bounds(values: list[float], shift: float, size: float) -> None:
    """To nine digits of the range, whatever it is."""
    moved = [shift + size * value for value in values]
    ends = shift, max(shift + size, *moved)
    for bound in (lower_bound, upper_bound):
        assert bound(moved, *ends) == pytest.approx(shift + size * bound(values, 0.0, 1.0), abs=3e-9 * size + 1e-15)


def test_fractions_are_spread_evenly_over_those_that_lose_nothing_and_all() -> None:
    assert np.diff([0.0, *FRACTIONS, 1.0])[1:-1] == pytest.approx(1 / len(FRACTIONS))
    assert pytest.approx(1 - FRACTIONS[::-1]) == FRACTIONS
    assert 0 < FRACTIONS[0] < FRACTIONS[-1] < 1


@given(st.lists(st.floats(0, 0.5), max_size=8))
def test_wealth_begins_with_one_and_never_counts_for_less(lost: list[float]) -> None:
    """Also where all of it is lost afterwards; and it stays a number, however much it is."""
    assert evidence(lost, 0.5, 0.0, 1.0) == 1.0
    won = evidence([1.0], 0.5, 0.0, 1.0)
    assert evidence([1.0, *lost], 0.5, 0.0, 1.0) == pytest.approx(won)
    assert np.isfinite(evidence([1.0] * 5000, 0.5, 0.0, 1.0))


def test_a_value_above_the_lowest_refutes_that_all_are_the_lowest() -> None:
    assert evidence([0.0, 0.0], 0.0, 0.0, 1.0) == 1.0
    assert evidence([0.0, 0.25], 0.0, 0.0, 1.0) > 1e300


@given(scores, st.sampled_from([0.5, 0.95, 0.999]))
def test_a_bound_is_where_the_evidence_reaches_its_level(values: list[float], level: float) -> None:
    bound, wanted = lower_bound(values, 0.0, 1.0, level), 1 / (1 - level)
    if level >= 0.95:  # a bolder bound may have been reached when the mean was higher
        assert bound <= np.mean(values) + 1e-8 <= upper_bound(values, 0.0, 1.0, level) + 2e-8
    assert evidence(values, bound + 1e-7, 0.0, 1.0) <= wanted * (1 + 1e-9)
    if bound > 1e-6:
        assert evidence(values, bound - 1e-7, 0.0, 1.0) >= wanted * (1 - 1e-9)


@given(scores, scores)
def test_more_values_never_take_a_bound_back(values: list[float], more: list[float]) -> None:
    assert lower_bound([*values, *more], 0.0, 1.0) >= lower_bound(values, 0.0, 1.0)


@given(st.floats(0.1, 1), st.floats(0.05, 0.95), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_of_equal_values_exactly_the_needed_ones_decide(value: float, mean: float, level: float) -> None:
    """As many as the best fraction alone needs, or more: wealth is shared among the fractions."""
    needed = values_needed([value] * 3, mean, 0.0, 1.0, level)
    if value <= mean:
        assert needed is None
        return
    assert needed is not None
    assert needed >= -log(1 - level) / log(1 + FRACTIONS[-1] * (value - mean) / mean)
    if needed < 10_000:
        few, enough = (evidence([value] * count, mean, 0.0, 1.0) for count in (needed - 1, needed))
        assert few < 1 / (1 - level) * (1 + 1e-9)
        assert enough >= 1 / (1 - level) * (1 - 1e-9)


def test_nothing_says_how_many_values_are_needed() -> None:
    assert values_needed([], 0.8, 0.0, 1.0) is None
    assert values_needed([0.5] * 3, 0.5, 0.0, 1.0) is None


def test_values_outside_their_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"values must lie in \[0, 1\], got 0.5 … 1.5"):
        evidence([0.5, 1.5], 0.5, 0.0, 1.0)
