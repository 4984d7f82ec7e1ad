"""Rows: which tokens a step reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.train.data.rows import Rows
from longspan.train.data.texts import Texts


def texts(lengths: list[int]) -> Texts:
    """Documents whose tokens are all different."""
    return Texts(np.arange(sum(lengths), dtype=np.uint32), np.array(lengths).cumsum(), ("x",) * len(lengths))


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8), length=st.integers(1, 12), step=st.integers(0, 50))
def test_positions_begin_anew_where_a_document_does(lengths: list[int], length: int, step: int) -> None:
    made = texts(lengths)
    try:
        rows = Rows(made, length)
    except InputError:
        assert sum(n for n in lengths if n <= length) <= length
        assert max(lengths) <= length
        return
    batch = rows.draw(step, 5)
    assert batch.ids.shape == (5, length + 1)
    document = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for row, ids in enumerate(batch.ids.numpy()):
        positions = np.arange(length + 1) if batch.positions is None else batch.positions[row].numpy()
        follows = np.diff(ids) == 1
        assert ((np.diff(positions) == 1) == (follows & (np.diff(document[ids]) == 0))).all()
        if (positions == 0).sum() > 1:  # packed: each begins with its document
            assert set(ids[positions == 0]) <= set(starts)


@given(seed=st.integers(0, 5), step=st.integers(0, 20))
def test_rows_depend_on_seed_and_step_alone(seed: int, step: int) -> None:
    made = texts([30, 5, 9, 40])
    first, again = (Rows(made, 8, seed).draw(step, 4) for _ in range(2))
    assert (first.ids == again.ids).all()
    assert not (first.ids == Rows(made, 8, seed).draw(step + 1, 4).ids).all()
    assert not (first.ids == Rows(made, 8, seed + 1).draw(step, 4).ids).all()


def test_every_place_comes_as_often_as_any_other() -> None:
    """Two documents with 3 and 9 places: a quarter of the rows come from the first."""
    made = Rows(texts([10, 16]), 7)
    begins = np.concatenate([made.draw(step, 20).ids[:, 0].numpy() for step in range(600)])
    counts = np.bincount(begins, minlength=26)
    assert set(np.flatnonzero(counts)) == {*range(3), *range(10, 19)}
    assert np.abs(counts[counts > 0] / 1000 - 1).max() < 0.15


def test_joined_documents_are_one() -> None:
    rows = Rows(texts([5, 5, 5]), 8, joined=True)
    found = {int(first) for step in range(50) for first in rows.draw(step, 4).ids[:, 0]}
    assert found == set(range(7))
    assert rows.left_out == 0


def test_too_little_text_is_one_line() -> None:
    with pytest.raises(InputError, match=r"give more texts, or a smaller training\.length"):
        Rows(texts([5]), 8)
