"""The stages of a budget."""

from hypothesis import given
from hypothesis import strategies as st

from longspan.measure.statistics.halving import Halving


def reads(candidates: int, documents: int, budget: int) -> list[int]:
    """How many candidates read each document, if nobody leaves for another reason."""
    halving, found = Halving(candidates, documents, budget), []
    alive = candidates
    for read in range(documents):
        alive = halving.places(read, alive, sum(found))
        found.append(alive)
    return found


def test_thirteen_candidates_and_35_readings_by_hand() -> None:
    """Four stages of one document each, as 35 / 4 < 13, 22 / 3 ≥ 7, 15 / 2 ≥ 4; the 11 left read five more with two."""
    assert reads(13, 20, 35)[:9] == [13, 7, 4, 2, 2, 2, 2, 2, 1]


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 400))
def test_a_budget_is_used_and_never_exceeded(candidates: int, documents: int, budget: int) -> None:
    found = reads(candidates, documents, budget)
    assert sum(found) <= budget
    assert found == sorted(found, reverse=True)
    assert found[0] == min(candidates, budget)
    if budget >= candidates * documents:
        assert found == [candidates] * documents
    if candidates > 1 and sum(found) < budget:
        assert found[-1] >= 2  # documents ran out, not candidates


def test_who_left_for_another_reason_leaves_room() -> None:
    halving = Halving(8, 10, 30)
    assert halving.places(read=0, alive=8, used=0) == 8
    assert halving.places(read=1, alive=2, used=8) == 2


def test_each_stage_gets_its_share_of_the_budget() -> None:
    """Karnin et al., algorithm 1, by hand: three stages of 16 readings for 8, 4 and 2 candidates."""
    assert reads(8, 100, 48)[:15] == [8] * 2 + [4] * 4 + [2] * 8 + [0]


def test_a_budget_that_suffices_to_the_last_reading_halves_nothing() -> None:
    assert reads(4, 3, 12) == [4, 4, 4]
    assert reads(4, 3, 11) == [4, 2, 2]


def test_nobody_reads_where_nobody_is_left_and_nothing_either() -> None:
    assert Halving(4, 10, 2).places(read=0, alive=0, used=3) == 0


def test_nobody_is_halved_once_what_is_left_suffices() -> None:
    """Two of eight left by themselves, and 12 readings are enough for six candidates and two documents."""
    halving = Halving(8, 3, 20)
    assert halving.places(read=0, alive=8, used=0) == 8
    assert halving.places(read=1, alive=6, used=8) == 6
