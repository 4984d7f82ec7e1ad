"""Intervals against SciPy's, what their ends say, and the design effect against the variance of shares."""

from math import inf, sqrt
from statistics import fmean, stdev, variance

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from longspan.errors import InputError
from longspan.measure.statistics.interval import Estimate, design_effect, mean, paired, share, wilson

VALUES = [3.1, 2.9, 3.4, 3.3, 2.7, 3.0, 3.6, 3.2]
OTHERS = [3.0, 2.7, 3.5, 3.1, 2.6, 2.9, 3.3, 3.1]


def test_the_mean_has_scipys_t_interval() -> None:
    found = mean(VALUES)
    wanted = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.value == pytest.approx(sum(VALUES) / 8)


def test_differences_are_paired_as_scipy_pairs_them() -> None:
    found = paired(VALUES, OTHERS)
    wanted = stats.ttest_rel(VALUES, OTHERS).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.above_zero
    assert paired(OTHERS, VALUES).below_zero
    assert not mean(VALUES).below_zero


@given(st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=8), st.floats(-2, 2))
def test_an_interval_excludes_zero_where_students_t_test_is_sure(values: list[float], shift: float) -> None:
    """At 95 %, on one side or the other; all signs the other way round give the other side."""
    assume(len(set(values)) > 1)
    moved = [value + shift for value in values]
    found, mirrored = mean(moved), mean([-value for value in moved])
    error = stdev(moved) / sqrt(len(moved))
    sure = 2 * float(stats.t.sf(abs(fmean(moved)) / error, len(moved) - 1))
    assume(abs(sure - 0.05) > 1e-9)
    assert (found.below_zero or found.above_zero) == (sure < 0.05)
    assert (found.below_zero, found.above_zero) == (mirrored.above_zero, mirrored.below_zero)
    assert not (found.below_zero and found.above_zero)


def test_an_interval_that_ends_at_zero_does_not_exclude_it() -> None:
    assert not (Estimate(1.0, 0.0, 2.0, 3).above_zero)
    assert not (Estimate(-1.0, -2.0, 0.0, 3).below_zero)
    assert not (mean([0.0] * 3).above_zero)
    assert not (mean([0.0] * 3).below_zero)


@given(st.floats(-9, 9), st.floats(-9, 9) | st.just(-inf), st.floats(-9, 9) | st.just(inf), st.integers(1, 99))
def test_an_estimate_comes_back_from_its_json(value: float, low: float, high: float, documents: int) -> None:
    found = Estimate(value, low, high, documents)
    assert Estimate.of(found.json()) == found
    assert inf not in found.json().values()
    assert -inf not in found.json().values()


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired(VALUES, OTHERS[1:])
    with pytest.raises(ValueError, match="zip"):
        design_effect([1, 2, 1], [4, 4])


def test_one_document_says_nothing_about_others() -> None:
    found = mean([2.0])
    assert found.json() == {"value": 2.0, "low": None, "high": None, "documents": 1}
    assert not found.above_zero


@pytest.mark.parametrize(("right", "asked"), [(0, 20), (7, 20), (20, 20), (81, 100)])
def test_wilson_is_scipys(right: int, asked: int) -> None:
    wanted = stats.binomtest(right, asked).proportion_ci(0.95, method="wilson")
    assert wilson(right / asked, asked) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_a_count_that_was_estimated_takes_students_t() -> None:
    low, high = wilson(0.7, 30, degrees=4)
    t = stats.t.ppf(0.975, 4)
    for end in (low, high):  # Wilson's ends are where the share is t standard errors away
        assert abs(end - 0.7) == pytest.approx(t * (end * (1 - end) / 30) ** 0.5)
    assert wilson(0.7, 30, degrees=10**6) == pytest.approx(wilson(0.7, 30), abs=1e-5)


def test_design_effect_at_its_ends() -> None:
    """Answers of a document all alike: as good as one answer each. As spread as can be: independent."""
    assert design_effect([10, 0, 10, 0], [10, 10, 10, 10]) == 10
    assert design_effect([5, 5, 5, 5], [10, 10, 10, 10]) == 1
    assert design_effect([10, 10], [10, 10]) == 1


@given(st.lists(st.integers(0, 10), min_size=2, max_size=9))
def test_of_equal_documents_the_design_effect_is_that_of_the_variance_of_their_shares(right: list[int]) -> None:
    """The variance of a mean of shares over that of independent answers, between 1 and the answers of a document."""
    value, documents = sum(right) / (10 * len(right)), len(right)
    assume(0 < value < 1)
    ratio = variance(each / 10 for each in right) / documents / (value * (1 - value) / (10 * documents))
    assert design_effect(right, [10] * documents) == pytest.approx(min(max(1.0, ratio), 10.0))


def test_alike_answers_widen_the_share() -> None:
    alike, spread = share([10, 0, 10, 0], [10] * 4), share([5] * 4, [10] * 4)
    assert alike.value == spread.value == 0.5
    assert (alike.low, alike.high) == wilson(0.5, 4, degrees=3)
    assert (spread.low, spread.high) == wilson(0.5, 40)


ANSWERS = st.integers(0, 10).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked)))


@given(st.lists(ANSWERS, min_size=1, max_size=9))
def test_a_document_that_was_asked_nothing_is_no_document_of_a_share(answers: list[tuple[int, int]]) -> None:
    some = [(right, asked) for right, asked in answers if asked]
    assume(some)
    found = share([right for right, _ in answers], [asked for _, asked in answers])
    assert found == share([right for right, _ in some], [asked for _, asked in some])
    assert found.documents == len(some)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(InputError):
        mean([])
    with pytest.raises(InputError):
        share([], [])
