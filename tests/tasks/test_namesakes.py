"""Against sets of words; what letters alone say is nothing."""

import hashlib

import pytest

from longspan.prompts.filler import Amount
from longspan.prompts.task import Request
from longspan.tasks.namesakes import Namesakes

PINNED = "667dcdaebe32249c5c6e8373143180f4fe7778d89b0c481cdc19196970c5bfb5"
"""SHA-256 of the first three pairs; a change of one is a new task."""


def drawn(seed: int, units: int = 9, words: int = 0) -> tuple[str, str]:
    draft = Namesakes().draft(Request(f"namesakes/{seed}", 0, "", ""), Amount(units, words))
    assert draft is not None
    return "".join(draft.prompt.context), draft.answers[0]


@pytest.mark.parametrize("units", [0, 1, 30])
def test_the_answer_is_whether_a_word_is_in_both(units: int) -> None:
    found = []
    for seed in range(60):
        text, answer = drawn(seed, units)
        first, second = (set(part.split()) for part in text.split(" | "))
        assert len(first) == len(second) == units + 1
        assert (answer == "yes") == bool(first & second)
        assert len(first & (second | {word[::-1] for word in second})) == 1  # so that letters tell nothing
        found.append(answer)
    assert 15 < found.count("yes") < 45


def test_common_words_are_anywhere() -> None:
    places = []
    for seed in range(100):
        first, second = (part.split() for part in drawn(seed)[0].split(" | "))
        both = {word[::-1] for word in second} | set(second)
        places.append(next(i for i, word in enumerate(first) if word in both))
    assert set(places) == set(range(10))


def test_dots_change_no_answer_and_make_any_length() -> None:
    text, answer = drawn(3)
    assert drawn(3, words=17) == (text + 8 * " ." + " ", answer)


def test_every_machine_draws_the_same() -> None:
    texts = "\n".join(drawn(seed)[0] for seed in range(3))
    assert hashlib.sha256(texts.encode()).hexdigest() == PINNED
