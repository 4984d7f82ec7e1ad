"""Whether a model counts as trained: how often the test says so where context truly helps, and where it does not."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from longspan.train.comparison import context_gain

DOCUMENTS, DRAWS = 16, 1500
HARDNESS, SPREAD = 0.3, 0.02
"""Nats: by how much documents differ from each other, and what context gives to each of them from its mean."""


def share_of_trained(gain: float) -> float:
    """The share of grids whose model counts as trained: its loss with L tokens is lower by `gain` on the mean."""
    draw = np.random.default_rng(0)
    found = 0
    for _ in range(DRAWS):
        quarter = draw.normal(3.0, HARDNESS, DOCUMENTS)
        full = quarter - draw.normal(gain, SPREAD, DOCUMENTS)
        estimate = context_gain(full.tolist(), quarter.tolist())
        assert estimate is not None
        found += estimate.below_zero
    return found / DRAWS


@pytest.mark.parametrize("gain", [0.0, 0.01, 0.02])
def test_it_finds_what_a_one_sided_t_test_finds(gain: float) -> None:
    """The closed form: Student's t with as many degrees of freedom, off center by gain / (spread / √documents)."""
    degrees, center = DOCUMENTS - 1, gain / (SPREAD / sqrt(DOCUMENTS))
    wanted = float(stats.nct.sf(stats.t.ppf(0.95, degrees), degrees, center)) if gain else 0.05
    assert abs(share_of_trained(gain) - wanted) < 4 * sqrt(wanted * (1 - wanted) / DRAWS)
    assert (wanted > 0.95) == (gain == 0.02)  # 0.02 nats are hardly ever missed


def test_documents_cancel() -> None:
    """What makes a document hard is in both of its losses: however much it is, the difference stays."""
    quarter = np.random.default_rng(1).normal(3.0, 1.0, DOCUMENTS)
    gains = np.random.default_rng(2).normal(0.02, SPREAD, DOCUMENTS)
    found, alone = context_gain(list(quarter - gains), list(quarter)), context_gain(list(-gains), [0.0] * DOCUMENTS)
    assert found is not None
    assert alone is not None
    assert (found.value, found.high) == pytest.approx((alone.value, alone.high))


def test_documents_that_were_not_read_at_both_lengths_say_nothing() -> None:
    assert context_gain([1.0, 2.0], [1.0]) is None
    assert context_gain([1.0], [2.0]) is None
