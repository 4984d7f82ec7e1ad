import pytest
from scipy import stats

from longspan.errors import InputError
from longspan.measure.statistics.interval import design_effect, mean, paired, share, wilson

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


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired(VALUES, OTHERS[1:])


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


def test_alike_answers_widen_the_share() -> None:
    alike, spread = share([10, 0, 10, 0], [10] * 4), share([5] * 4, [10] * 4)
    assert alike.value == spread.value == 0.5
    assert (alike.low, alike.high) == wilson(0.5, 4, degrees=3)
    assert (spread.low, spread.high) == wilson(0.5, 40)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(InputError):
        mean([])
    with pytest.raises(InputError):
        share([], [])
