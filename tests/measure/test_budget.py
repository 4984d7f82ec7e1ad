from longspan.measure.budget import FEWEST_CANDIDATES, plan
from longspan.measure.grid import Grid, tokens
from longspan.tasks.documents import Document

GRID = Grid("m", "float32", "0" * 16, 512, 4096)
DOCUMENTS = tuple(Document(f"{i}.txt", 0, 4096, "0") for i in range(11))
METHODS = tuple(f"rerope(window={w})" for w in range(100, 112))


def test_without_a_limit_everything_is_measured() -> None:
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
    assert found.contexts == (256, 512, 1024, 2048, 4096)
    assert found.lengths == (512, 1024, 2048, 4096)
    assert found.candidates == METHODS
    assert found.left_out == ()
    assert len(found.race_measurements(GRID)) == 13 * 3
    assert found.tokens(GRID) > sum(map(tokens, found.race_measurements(GRID)))


def test_the_budget_is_kept_and_what_is_left_out_is_said() -> None:
    full = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
    for share in (0.9, 0.7, 0.5, 0.3):
        affordable = share * full.tokens(GRID)
        found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], affordable)
        assert found.tokens(GRID) <= affordable
        assert found.left_out
        assert found.judge == full.judge


def test_a_verdict_is_always_possible() -> None:
    """However small the budget: the judged documents, the trained and the wanted length, and a race stay."""
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], 1.0)
    assert len(found.candidates) == FEWEST_CANDIDATES
    assert len(found.race) == 1
    assert found.finalists == 1
    assert len(found.judge_measurements(GRID, METHODS[:1])) < len(found.judge_measurements(GRID, METHODS[:2]))
    assert found.judge == DOCUMENTS[3:]
    assert found.contexts == (4096,)
    assert found.lengths == (4096,)


def test_three_methods_need_no_race() -> None:
    found = plan(GRID, METHODS[:3], (), DOCUMENTS)
    assert not found.races
    assert found.race_measurements(GRID) == []
    assert not plan(GRID, METHODS[:3], (), DOCUMENTS, 1.0).races


def test_truncation_is_measured_even_where_no_context_is_left() -> None:
    found = plan(GRID, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], 1.0)
    asked = found.judge_measurements(GRID, METHODS[:1])
    assert {m["method"] for m in asked if m.get("context") == 512} == {"plain"}


def test_truncation_is_asked_at_every_length_beyond_the_trained_one() -> None:
    found = plan(GRID, METHODS[:3], (), DOCUMENTS[:1])
    cut = [m["length"] for m in found.judge_measurements(GRID, METHODS[:3]) if m.get("read") == 512]
    assert cut == [1024, 2048, 4096]
