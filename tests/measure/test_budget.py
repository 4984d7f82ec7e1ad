import pytest

from longspan.measure.budget import FEWEST_CANDIDATES, plan
from longspan.measure.grid import Grid
from longspan.measure.pace import Pace
from longspan.tasks.documents import Document

GRID = Grid("m", "float32", "0" * 16, 512, 4096)
DOCUMENTS = tuple(Document(f"{i}.txt", 0, 4096, "0") for i in range(11))
PACE = Pace(0.01, 1e-6)
METHODS = tuple(f"rerope(window={w})" for w in range(100, 112))


def test_without_a_limit_everything_is_measured() -> None:
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], PACE)
    assert found.contexts == (256, 512, 1024, 2048, 4096)
    assert found.lengths == (512, 1024, 2048, 4096)
    assert found.candidates == METHODS
    assert found.left_out == ()
    assert len(found.race_measurements(GRID)) == 13 * 3
    assert found.seconds(GRID, PACE) > sum(map(PACE.seconds, found.race_measurements(GRID)))


def test_the_budget_is_kept_and_what_is_left_out_is_said() -> None:
    full = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], PACE)
    for share in (0.9, 0.7, 0.5, 0.3):
        affordable = share * full.seconds(GRID, PACE)
        found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], PACE, affordable)
        assert found.seconds(GRID, PACE) <= affordable
        assert found.left_out
        assert found.judge == full.judge


def test_a_verdict_is_always_possible() -> None:
    """However small the budget: the judged documents, the trained and the wanted length, and a race stay."""
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], PACE, 1.0)
    assert len(found.candidates) == FEWEST_CANDIDATES
    assert len(found.race) == 1
    assert found.finalists == 1
    assert len(found.judge_measurements(GRID, METHODS[:1])) < len(found.judge_measurements(GRID, METHODS[:2]))
    assert found.judge == DOCUMENTS[3:]
    assert found.contexts == (4096,)
    assert found.lengths == (4096,)


def test_three_methods_need_no_race() -> None:
    found = plan(GRID, METHODS[:3], (), DOCUMENTS, PACE)
    assert not found.races
    assert found.race_measurements(GRID) == []
    assert not plan(GRID, METHODS[:3], (), DOCUMENTS, PACE, 1.0).races


def test_truncation_is_measured_even_where_no_context_is_left() -> None:
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], PACE, 1.0)
    asked = found.judge_measurements(GRID, METHODS[:1])
    assert {m["method"] for m in asked if m.get("context") == 512} == {"plain"}


def test_truncation_is_asked_at_every_length_beyond_the_trained_one() -> None:
    found = plan(GRID, METHODS[:3], (), DOCUMENTS[:1], PACE)
    cut = [m["length"] for m in found.judge_measurements(GRID, METHODS[:3]) if m.get("read") == 512]
    assert cut == [1024, 2048, 4096]


def test_long_readings_cost_more_than_their_tokens() -> None:
    """The same budget that attention uses up at the wanted length pays for more short contexts where it counts less."""
    short, long = ({"kind": "retrieval", "length": n} for n in (512, 4096))
    assert PACE.seconds(long) / PACE.seconds(short) > 4096 / 512
    assert PACE.seconds({"kind": "context", "length": 4096, "context": 512, "tail": 1}) == PACE.seconds(short)


def test_the_pace_is_that_of_the_two_readings_and_no_share_is_negative() -> None:
    for short, long in (((512, 3.0), (4096, 40.0)), ((512, 3.0), (4096, 20.0)), ((512, 3.0), (4096, 900.0))):
        found = Pace.of(short, long)
        assert min(found.per_token, found.per_pair) >= 0
        assert found.seconds({"kind": "reading", "length": long[0]}) == pytest.approx(long[1])
    steady = Pace.of((512, 3.0), (4096, 40.0))
    assert steady.seconds({"kind": "reading", "length": 512}) == pytest.approx(3.0)
