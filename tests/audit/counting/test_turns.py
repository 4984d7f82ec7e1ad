"""Turns against angles that are walked through one by one."""

from math import pi, tau

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.audit.counting.turns import turns, unseen


def walked(arc: float, reach: float, steps: int = 200_000) -> float:
    """The share of angles outside an arc, by walking to the end of the reach in small steps."""
    outside = sum((reach * (step + 0.5) / steps) % tau > arc for step in range(steps))
    return outside / steps


@given(st.floats(0.01, 7), st.floats(0.01, 40))
def test_the_share_of_unseen_angles_is_what_a_walk_counts(arc: float, reach: float) -> None:
    expected = 0.0 if arc >= tau else walked(arc, reach, 5_000)
    assert unseen(arc, reach) == pytest.approx(expected, abs=2e-3)


def test_a_pair_that_has_turned_once_has_shown_every_angle() -> None:
    assert turns([tau / 100], [tau / 100], 100, 100_000).unseen_pairs == 0
    assert turns([0.99 * tau / 100], [0.99 * tau / 100], 100, 100_000).unseen_pairs == 1


def test_interpolation_keeps_all_angles_seen() -> None:
    """A pair slowed by the factor by which the text grows reaches the very arc of training."""
    assert turns([pi / 1000], [pi / 4000], 1000, 4000).unseen_pairs == 0


def test_llama_2_has_18_pairs_without_a_whole_turn() -> None:
    """Of 64 pairs of base 10000, 18 have a wavelength above 4096 tokens: γ = 0 beyond 4096 in YaRN's figures."""
    spectrum = [10000 ** (-2 * pair / 128) for pair in range(64)]
    found = turns(spectrum, spectrum, 4096, 4096)
    assert (found.pairs, found.still, found.incomplete) == (64, 0, 18)
    assert found.fastest == pytest.approx(4096 / tau)


def test_pairs_that_do_not_rotate_are_counted_apart() -> None:
    found = turns([1.0, 0.0], [1.0, 0.0], 100, 200)
    assert (found.pairs, found.still) == (1, 1)


def test_nothing_that_rotates_is_no_error() -> None:
    assert turns([0.0], [0.0], 100, 200).unseen_share == 0
