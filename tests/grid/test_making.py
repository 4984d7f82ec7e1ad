"""However many workers there are and however far ahead they are, the records are those of one process, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longspan.grid.making import made


@dataclass(frozen=True)
class Number:
    """A measurement whose result is its number."""

    number: int
    model = fingerprint = method = ""

    @property
    def key(self) -> str:
        return str(self.number)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"number": self.number}

    def readings(self) -> list[int]:
        return [1]

    def ask(self, model: Any) -> dict[str, Any]:
        return {"number": self.number}


class Ahead:
    """Workers that note what they start."""

    def __init__(self, count: int) -> None:
        self.count, self.began = count, list[int]()

    def start(self, asked: Any) -> Any:
        self.began.append(asked.number)
        return Ready(asked.number)


@dataclass(frozen=True)
class Ready:
    number: int

    def record(self) -> dict[str, Any]:
        return {"key": str(self.number), "result": self.number}


def kept(count: int, asked: Sequence[Number], limits: Sequence[int]) -> tuple[list[Any], list[Any], Ahead]:
    """What a caller keeps that needs no number of a kind once a record of that kind reached its limit."""
    records: list[Any] = []

    def needed(number: Number) -> bool:
        kind = number.number % len(limits)
        return not any(r["result"] % len(limits) == kind and r["result"] >= limits[kind] for r in records)

    workers, order = Ahead(count), []
    for number, record in made(workers, asked, needed):
        order.append(number)
        if record is not None:
            records.append(record)
    return records, order, workers


@given(
    st.integers(2, 5),
    st.lists(st.integers(0, 60), unique=True, max_size=25),
    st.lists(st.integers(0, 60), min_size=1, max_size=4),
)
def test_records_are_those_of_one_process(count: int, numbers: list[int], limits: list[int]) -> None:
    asked = [Number(number) for number in numbers]
    alone, order, one = kept(1, asked, limits)
    together, same_order, many = kept(count, asked, limits)
    assert together == alone
    assert order == same_order == asked
    assert one.began == [record["result"] for record in alone]
    assert len(set(many.began)) == len(many.began)


def test_workers_have_work_while_the_first_is_kept() -> None:
    workers = Ahead(3)
    following = made(workers, [Number(number) for number in range(20)])
    next(following)
    assert workers.began == list(range(6))


def test_one_process_starts_nothing_ahead() -> None:
    workers = Ahead(1)
    following = made(workers, [Number(number) for number in range(20)])
    next(following)
    assert workers.began == [0]
    next(following)
    assert workers.began == [0, 1]
