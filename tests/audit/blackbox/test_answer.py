"""Answers: what counts as a log-probability."""

from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.audit.blackbox.answer import LOWEST, Answer, echoed
from longspan.audit.blackbox.evidence import Evidence, weigh
from longspan.errors import InputError


def weighed(values: list[float]) -> Evidence:
    """Against two hypotheses: what a server does with small noise, and another one."""
    numbers = np.random.default_rng(0)
    truth = -numbers.gamma(2, 1, 200)
    other = np.minimum(0, truth + numbers.normal(0, 2, 200))
    noisy = np.minimum(0, truth + numbers.normal(0, 0.01, 200))
    noisy[: len(values)] = values
    answer = echoed(range(201), [None, *noisy.tolist()])
    return weigh(np.array(answer.values), np.stack([truth, other]), np.zeros(200, int))


@given(st.lists(st.sampled_from([-inf, LOWEST, -1e30]), min_size=1, max_size=4))
def test_probabilities_of_zero_decide_nothing(values: list[float]) -> None:
    """A softmax in float16 underflows; whatever stands for that, the rest of the text speaks."""
    found = weighed(values)
    assert found.fits
    assert found.alike == (0,)
    assert found.ranking == weighed([LOWEST] * len(values)).ranking


def test_a_gap_stays_a_gap() -> None:
    values = Answer((1, 2, 3), (4, 5, 6), (nan, -inf, -2.0)).values
    assert isnan(values[0])
    assert values[1:] == (LOWEST, -2.0)


@pytest.mark.parametrize("value", [0.1, inf])
def test_what_is_above_zero_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="at most 0"):
        Answer((1,), (4,), (value,))
