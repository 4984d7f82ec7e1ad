"""Against a reader of its own, by regular expressions; what letters alone say is nothing."""

import hashlib
import re
from collections import Counter

import pytest

from longspan.prompts.filler import Amount
from longspan.prompts.task import Request
from longspan.tasks.opinions import GOOD, Opinions

PINNED = "24be5474eea8a1a7a732ab62faee78781e81af8634f8d77944016a6aa682d6cf"
"""SHA-256 of the first three texts; a change of one is a new task."""


def drawn(seed: int, units: int = 4, words: int = 0) -> tuple[str, str]:
    draft = Opinions().draft(Request(f"opinions/{seed}", 0, "", ""), Amount(units, words))
    assert draft is not None
    return "".join(draft.prompt.context), draft.answers[0]


def read(text: str) -> str:
    """The answer of somebody who reads the text."""
    total = 0
    for beginning, last in re.findall(r"(nay|yan) (?:[a-z]+ )+?([a-z]+)\.", text):
        sign = 1 if last in GOOD else -1
        assert sign == 1 or last[::-1] in GOOD
        total += -sign if beginning == "nay" else sign
    assert total % 2
    return "good" if total > 0 else "bad"


@pytest.mark.parametrize("units", [0, 1, 9])
def test_the_answer_is_what_a_reader_finds(units: int) -> None:
    for seed in range(30):
        text, answer = drawn(seed, units)
        assert text.count(".") == 2 * units + 1
        assert answer == read(text)


def test_both_answers_are_as_frequent_and_letters_do_not_tell_them_apart() -> None:
    letters: dict[str, Counter[str]] = {"good": Counter(), "bad": Counter()}
    number = Counter[str]()
    for seed in range(400):
        text, answer = drawn(seed)
        number[answer] += 1
        letters[answer] += Counter(text)
    assert abs(number["good"] - 200) < 40
    shares = {answer: {x: n / found.total() for x, n in found.items()} for answer, found in letters.items()}
    for letter in shares["good"]:
        assert shares["good"][letter] == pytest.approx(shares["bad"][letter], rel=0.1)


def test_dots_change_no_answer_and_make_any_length() -> None:
    text, answer = drawn(3)
    assert drawn(3, words=17) == (text + 8 * " ." + " ", answer)


def test_every_machine_draws_the_same() -> None:
    texts = "\n".join(drawn(seed)[0] for seed in range(3))
    assert hashlib.sha256(texts.encode()).hexdigest() == PINNED
