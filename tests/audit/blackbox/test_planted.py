"""Planted texts repeat themselves at many distances."""

import pytest

import tiny
from audit.blackbox.serving import tokenizer
from longspan.audit.blackbox.planted import planted
from longspan.errors import InputError

SOURCE = tuple(range(1000, 3000))


@pytest.mark.parametrize("length", [32, 100, 700])
def test_a_text_has_its_length_and_repeats_itself(length: int) -> None:
    found = planted(SOURCE, length, tokenizer(), seed=3)
    assert len(found) == length
    assert len(set(found)) < length
    assert found == planted(SOURCE, length, tokenizer(), seed=3)
    assert found != planted(SOURCE, length, tokenizer(), seed=4)


def test_passages_are_repeated_from_far_and_near() -> None:
    found = planted(SOURCE, 1500, tokenizer())
    first = {token: place for place, token in reversed(list(enumerate(found)))}
    distances = {place - first[token] for place, token in enumerate(found) if token >= 1000} - {0}
    assert min(distances) < 200
    assert max(distances) > 1000


def test_facts_are_asked_for_at_the_end() -> None:
    found = planted(SOURCE, 700, tokenizer())
    answer = found[-2]
    assert tokenizer().decode([answer]) in tiny.FACTS.values
    assert answer in found[:200]


def test_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="at least 32"):
        planted(SOURCE, 10, tokenizer())
    with pytest.raises(InputError, match="--text"):
        planted(SOURCE[:50], 100, tokenizer())
