import random
from itertools import islice

from longspan import bundled
from longspan.prompts.words import countable, different, name_pool, pairs, vocabulary


def test_there_are_thousands_of_words() -> None:
    assert len(vocabulary()) > 4000
    assert list(vocabulary()) == sorted(set(vocabulary()))
    assert all(word.isalpha() and word.islower() for word in vocabulary())


def test_words_and_pairs_are_different() -> None:
    found = list(islice(different(random.Random(0)), 12000))
    assert len(set(found)) == len(found)
    assert all(word.count("-") == (i >= len(vocabulary())) for i, word in enumerate(found))
    assert found[:100] != list(islice(different(random.Random(1)), 100))


def test_triples_follow_when_half_of_all_pairs_are_drawn() -> None:
    half = len(bundled.words().values) ** 2 // 2
    found = list(islice(pairs(random.Random(0)), half + 10))
    assert len(set(found)) == len(found)
    assert [pair.count("-") for pair in found] == [1] * half + [2] * 10


def test_no_word_contains_a_common_one() -> None:
    found = list(islice(countable(random.Random(0), 10), 3000))
    assert len(found) == 3000
    assert len(set(found)) == len(found)
    for common in found[:10]:
        assert [word for word in found if common in word] == [common]


def test_names_are_not_in_the_text() -> None:
    names = bundled.words().names
    assert set(name_pool(random.Random(0), " ".join(names[4:]), 8)) == set(names[:4])
    assert len(name_pool(random.Random(0), "", 3)) == 3
