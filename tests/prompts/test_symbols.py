import pytest

from longspan.prompts.filler import Amount
from longspan.prompts.symbols import ListTask
from longspan.prompts.task import Request
from prompting import tasks_of

TASKS = tasks_of(ListTask)
REQUEST = Request("seed", 100, "0", "")


def test_there_are_tasks() -> None:
    """Guards the tests below: an empty list of cases proves nothing."""
    assert len(TASKS) >= 9


@pytest.mark.parametrize("name", TASKS)
def test_symbols_have_no_finer_grain(name: str) -> None:
    assert TASKS[name]().draft(REQUEST, Amount(3)) is not None
    assert TASKS[name]().draft(REQUEST, Amount(3, 1)) is None
    assert TASKS[name]().draft(REQUEST, Amount(3, 0, 1)) is None


@pytest.mark.parametrize("name", sorted(TASKS.keys() - {"missing_duplicate"}))
def test_a_longer_list_begins_with_the_shorter_one(name: str) -> None:
    shorter, longer = (TASKS[name]().draft(REQUEST, Amount(units)).prompt.context for units in (5, 9))
    assert len(longer) == len(shorter) + 4
    assert longer[: len(shorter)] == shorter


@pytest.mark.parametrize(("name", "count"), [("copy", 1), ("even_pairs", 2), ("missing_duplicate", 2), ("occurs", 101)])
def test_the_shortest_list(name: str, count: int) -> None:
    assert len(TASKS[name]().draft(REQUEST, Amount()).prompt.context) == count
