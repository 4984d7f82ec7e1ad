"""The e-process of a Gaussian mean: its closed form, what changes nothing, and how often it errs when watched."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import integrate, stats

from longspan.measure.statistics.anytime_t import log_evidence

RUNS, VALUES = 2000, 40
numbers = arrays.arrays(np.float64, st.integers(1, 12), elements=st.integers(-5, 5).map(float))


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [0.4, -1.0, 0.3, 2.2, 0.1], [5.0, 5.5]])
def test_evidence_is_the_ratio_of_two_noncentral_t_densities(values: list[float]) -> None:
    """Of the t statistic, under effects drawn from the mixture, and under none; integrated by another library."""
    count, precision = len(values), 0.25
    t = sqrt(count) * np.mean(values) / np.std(values, ddof=1)
    mixed, _ = integrate.quad(
        lambda d: stats.nct.pdf(t, count - 1, sqrt(count) * d) * stats.norm.pdf(d, scale=1 / sqrt(precision)), -12, 12
    )
    wanted = mixed / stats.t.pdf(t, count - 1)
    assert np.exp(log_evidence(np.array(values), precision)) == pytest.approx(wanted, rel=1e-4)


@given(numbers, st.sampled_from([-3.0, 0.01, 7.0]))
def test_units_and_signs_change_nothing(values: np.ndarray, factor: float) -> None:
    assert log_evidence(factor * values) == pytest.approx(log_evidence(values), abs=1e-9)


@given(numbers)
def test_order_changes_nothing(values: np.ndarray) -> None:
    assert log_evidence(values[::-1]) == pytest.approx(log_evidence(values), abs=1e-9)


def test_zeros_and_single_values_say_nothing() -> None:
    assert log_evidence(np.zeros((5, 2))).tolist() == [0.0, 0.0]
    assert log_evidence(np.array([3.0])) == pytest.approx(0.0, abs=1e-12)


def student(values: np.ndarray) -> np.ndarray:
    """Two-sided p-values of Student's t test of a mean of 0."""
    t = np.sqrt(len(values)) * values.mean(0) / values.std(0, ddof=1)
    return 2 * stats.t.sf(np.abs(t), len(values) - 1)


def watched(alarm: float) -> tuple[float, float]:
    """How often the e-process, and Student's t, call a mean of 0 sure at any of many looks."""
    draws = np.random.default_rng(0).standard_normal((VALUES, RUNS))
    ours, students = np.zeros(RUNS, bool), np.zeros(RUNS, bool)
    for count in range(2, VALUES + 1):
        ours |= log_evidence(draws[:count]) >= np.log(1 / alarm)
        students |= student(draws[:count]) <= alarm
    return float(ours.mean()), float(students.mean())


def test_looking_after_every_value_errs_in_5_of_100_runs_at_most() -> None:
    """The negative control is Student's t, which errs far more often when it is looked at every time."""
    ours, students = watched(0.05)
    assert ours <= 0.05
    assert students > 0.2
