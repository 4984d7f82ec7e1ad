import random
import re
import uuid
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from longspan.prompts.needles import DEPTHS, Numbers, Uuids, Words, insert


def test_kinds() -> None:
    numbers = list(islice(Numbers().different(random.Random(0)), 1000))
    assert len(set(numbers)) == 1000
    assert all(re.fullmatch(r"[1-9]\d{6}", number) for number in numbers)
    assert all(uuid.UUID(found).version == 4 for found in islice(Uuids().different(random.Random(0)), 100))
    assert all(re.fullmatch(r"[a-z]+-[a-z]+", found) for found in islice(Words().different(random.Random(0)), 100))


@given(st.lists(st.floats(0, 1), max_size=5), st.integers(0, 9))
def test_needles_are_at_their_depths(depths: list[float], count: int) -> None:
    pieces = [f"piece {i}" for i in range(count)]
    needles = [f"needle {i}" for i in range(len(depths))]
    found, where = insert(pieces, needles, depths)
    assert [found[i] for i in where] == needles
    assert [piece for piece in found if piece.startswith("piece")] == pieces
    for depth, index in zip(depths, where, strict=True):
        before = sum(piece.startswith("piece") for piece in found[:index])
        assert before == int(depth * count)


def test_rulers_forty_depths() -> None:
    """`numpy.round(numpy.linspace(0, 100, 40))`."""
    assert DEPTHS[:5] == (0, 0.03, 0.05, 0.08, 0.1)
    assert DEPTHS[-2:] == (0.97, 1)
    assert len(set(DEPTHS)) == 40
