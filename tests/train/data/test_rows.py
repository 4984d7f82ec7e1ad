"""Rows: which tokens a step reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.train.data.rows import Drawn, Rows
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


@pytest.mark.parametrize(
    ("lengths", "length"), [([10, 16], 7), ([8, 8, 8, 9, 20, 80], 7), ([5, 3, 6, 8, 9, 9], 7), ([7] * 8 + [8] * 7, 7)]
)
def test_tokens_are_read_alike_whatever_the_length_of_their_document(lengths: list[int], length: int) -> None:
    """Of all rows, as many come from a document, or are packed, as it holds of all tokens of rows; places are alike."""
    made, draws = Rows(texts(lengths), length), 12000
    batches = [made.draw(step, 100) for step in range(draws // 100)]
    packed = np.concatenate([_packed(batch) for batch in batches])
    begins = np.concatenate([batch.ids[:, 0].numpy() for batch in batches])[~packed]
    tokens = sum(lengths) - made.left_out
    document, starts = np.repeat(np.arange(len(lengths)), lengths), np.concatenate([[0], np.cumsum(lengths)])
    for number, own in enumerate(lengths):
        places = own - length
        counts = np.bincount(begins[document[begins] == number] - starts[number], minlength=max(places, 1))
        wanted = draws * own / tokens / max(places, 1) if places > 0 else 0
        assert len(counts) == max(places, 1)
        assert np.abs(counts - wanted).max() <= 4 * np.sqrt(wanted)
    assert packed.sum() == draws - sum(np.isin(document[begins], [i for i, n in enumerate(lengths) if n > length]))


def _packed(batch: Drawn) -> np.ndarray:
    """Which rows hold several documents: their ids, all different, do not follow each other."""
    jumps = np.diff(batch.ids.numpy(), axis=1) != 1
    anew = np.zeros_like(jumps[:, 0]) if batch.positions is None else (batch.positions[:, 1:] == 0).any(1).numpy()
    return jumps.any(1) | anew


@pytest.mark.parametrize("lengths", [[500, 230, 999], [40], [5, 6, 7, 3]])
def test_texts_far_longer_than_rows_or_all_shorter_are_drawn_as_ever(lengths: list[int]) -> None:
    """Trainings of earlier versions are repeated to the bit: one draw is the kind of a row, the next its place."""
    length, made = 7, Rows(texts(lengths), 7, seed=3)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    places = [start + i for start, own in zip(starts, lengths, strict=False) for i in range(own - length)]
    for step in range(20):
        generator = np.random.default_rng([3, step])
        count = len(places) or 8 * len(made._packed)
        for row in made.draw(step, 3).ids.numpy():
            generator.integers(count)
            drawn = generator.integers(len(places) or len(made._packed))
            assert row[0] == (places[drawn] if places else made._packed[drawn][0][0])


def test_joined_documents_are_one() -> None:
    rows = Rows(texts([5, 5, 5]), 8, joined=True)
    found = {int(first) for step in range(50) for first in rows.draw(step, 4).ids[:, 0]}
    assert found == set(range(7))
    assert rows.left_out == 0


def test_too_little_text_is_one_line() -> None:
    with pytest.raises(InputError, match=r"give more texts, or a smaller training\.length"):
        Rows(texts([5]), 8)
