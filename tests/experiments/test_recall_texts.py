"""The texts of a bundled model that learns recall: what is asked for later was stated, and held-out pairs never are."""

import re
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from longspan import bundled

SCRIPT = Path(__file__).parents[2] / "experiments" / "bundled" / "texts.py"
FACT = re.compile(r"The secret code of (\w+) is (\w+)\.")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(SCRIPT.parent))  # it imports prepare.py beside it
    try:
        spec = spec_from_file_location("texts", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def test_facts_come_back_and_held_out_pairs_never_come(script: ModuleType) -> None:
    words = bundled.words()
    sentences = [f"This is sentence {number}." for number in range(20)]
    pairs = Counter[tuple[str, str]]()
    for seed in range(400):
        text = script.with_facts(sentences, list(words.names), list(words.values), Random(seed))
        own = Counter(FACT.findall(text))
        assert 1 <= len(own) <= 6
        assert all(2 <= count <= 4 for count in own.values())
        assert re.findall(r"This is sentence \d+\.", text) == sentences
        pairs += own
    assert all(script.stated(*pair) for pair in pairs)
    hidden = [not script.stated(name, value) for name in words.names for value in words.values]
    assert sum(hidden) / len(hidden) == pytest.approx(1 / 5, abs=0.03)


def test_a_passage_comes_back_word_by_word(script: ModuleType) -> None:
    sentences = [f"This is sentence {number}." for number in range(20)]
    for seed in range(100):
        counts = Counter(re.findall(r"sentence (\d+)", script.with_repeats(sentences, Random(seed))))
        assert set(counts.values()) == {1, 2}
        assert 1 <= sum(count == 2 for count in counts.values()) <= 6


def test_equal_books_give_equal_texts(script: ModuleType) -> None:
    words = bundled.words()
    lists = {"names": list(words.names), "values": list(words.values)}
    books = [" ".join(f"Line {number} of {book}." for number in range(300)) for book in "ab"]
    first, again = script.documents(books, lists, 20), script.documents(books, lists, 20)
    assert first == again
    assert len(set(first)) == 20
