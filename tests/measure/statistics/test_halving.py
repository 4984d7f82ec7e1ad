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
