"""p-values of paired differences, and their correction for several methods."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.statistics.comparison import holm, sign_flip

RUNS = 300


@given(st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=8))
def test_a_p_value_is_the_share_of_flips_as_far_from_zero(differences: list[float]) -> None:
    """Counted flip by flip."""
    found = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    wanted = sum(value >= abs(sum(differences)) - 1e-9 for value in found) / len(found)
    assert sign_flip(differences) == pytest.approx(wanted)


@pytest.mark.parametrize("documents", [5, 10, 50])
def test_chance_alone_is_below_5_percent_in_5_of_100_runs(documents: int) -> None:
    draw = np.random.default_rng(0)
    found = [sign_flip(list(draw.standard_t(3, documents))) for _ in range(RUNS)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 2 * (0.05 * 0.95 / RUNS) ** 0.5


def test_holm_by_hand() -> None:
    """Four p-values from the smallest on: times 4, 3, 2, 1, and never falling."""
    found = holm({"a": 0.02, "b": 0.005, "c": 0.9, "d": 0.018})
    assert found == pytest.approx({"a": 0.054, "b": 0.02, "c": 0.9, "d": 0.054})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_corrected_p_value_lies_between_its_own_and_bonferronis(values: list[float]) -> None:
    named = {str(i): value for i, value in enumerate(values)}
    for name, value in holm(named).items():
        assert named[name] <= value <= min(1.0, len(values) * max(values))


def test_no_documents_are_refused() -> None:
    with pytest.raises(InputError, match="no documents"):
        sign_flip([])
