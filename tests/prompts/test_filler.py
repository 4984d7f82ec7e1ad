import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.prompts.filler import Amount, filler

UNITS = ("One two.", "Three four five.", "Six.")


def unit(i: int) -> str | None:
    return UNITS[i] if i < len(UNITS) else None


@pytest.mark.parametrize(
    ("amount", "pieces"),
    [
        (Amount(), []),
        (Amount(2), ["One two.", "Three four five."]),
        (Amount(1, 2), ["One two.", "Three four"]),
        (Amount(1, 2, 4), ["One two.", "Three four fiv"]),
        (Amount(0, 0, 5), ["One t"]),
        (Amount(2, 1), ["One two.", "Three four five.", "Six."]),
        (Amount(4), None),
        (Amount(3, 1), None),
        (Amount(3, 0, 1), None),
        (Amount(2, 0, 5), None),
    ],
)
def test_amounts(amount: Amount, pieces: list[str] | None) -> None:
    assert filler(unit, amount) == pieces


def test_the_rest_may_come_from_elsewhere() -> None:
    assert filler(unit, Amount(1, 2, 3), lambda _: "x yz") == ["One two.", "x yz x "]


@given(st.integers(0, 2), st.integers(0, 4), st.integers(0, 8))
def test_more_filler_begins_with_less(units: int, words: int, characters: int) -> None:
    less = filler(unit, Amount(units, words, characters))
    more = filler(unit, Amount(units, words, characters + 1))
    if more is not None:
        assert less is not None
        assert " ".join(more).startswith(" ".join(less))
