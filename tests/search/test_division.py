"""Division: no file is in both parts, and too few documents are refused."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document, Library
from longspan.search.division import FEWEST_SEARCHED, share
from longspan.study.decision import FEWEST_DOCUMENTS


def found(parts: Sequence[int]) -> Library:
    """As many documents of each file, those of different files first, as a library has them."""
    documents = [
        Document(f"{file}.txt", 100 * part, 100, f"{file}/{part}")
        for part in range(max(parts, default=0))
        for file, count in enumerate(parts)
        if part < count
    ]
    return Library(tuple(documents), len(parts), ())


@given(st.lists(st.integers(1, 12), max_size=24), st.integers(2, 8), st.integers(2, 20))
def test_no_file_is_in_both(parts: list[int], search: int, held_out: int) -> None:
    try:
        division = share(found(parts), 100, (search, held_out))
    except InputError:
        # Only where no way to cut the row of files in two gives enough of both.
        least = min(search, FEWEST_SEARCHED), min(held_out, FEWEST_DOCUMENTS)
        sums = [(sum(parts[:count]), sum(parts[count:])) for count in range(1, len(parts))]
        assert not any(first >= least[0] and second >= least[1] for first, second in sums)
        return
    assert not {d.path for d in division.search} & {d.path for d in division.held_out}
    for documents, most in ((division.search, search), (division.held_out, held_out)):
        assert len(set(documents)) == len(documents) <= most
    assert len(division.search) >= min(search, FEWEST_SEARCHED)
    assert len(division.held_out) >= min(held_out, FEWEST_DOCUMENTS)


def test_with_enough_files_each_gives_one_document() -> None:
    division = share(found([3] * 14), 100, (6, 8))
    assert (len(division.search), len(division.held_out)) == (6, 8)
    assert {document.start for document in (*division.search, *division.held_out)} == {0}


def test_two_long_files_are_one_for_each() -> None:
    division = share(found([20, 20]), 100, (6, 8))
    assert (len(division.search), len(division.held_out)) == (6, 8)


@pytest.mark.parametrize("parts", [[], [100], [1, 7], [1] * 9])
def test_too_few_are_refused_in_one_line(parts: list[int]) -> None:
    with pytest.raises(InputError, match=r"2 and 8 are needed .* give more --text") as refused:
        share(found(parts), 100, (6, 8))
    assert "\n" not in str(refused.value)
