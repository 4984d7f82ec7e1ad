"""Which documents hold far facts is known before anything is measured."""

from dataclasses import replace

import pytest

from longspan import bundled
from longspan.errors import InputError
from longspan.measure.corpus.documents import Document, library
from longspan.measure.models.loading import load_tokenizer
from longspan.study.planning.budget import full_plan
from longspan.study.planning.far import race_on_far_facts, require_far_facts, with_far_facts
from longspan.study.planning.subject import Subject

TRAINED = 512
TOKENIZER = load_tokenizer(bundled.NAME)


def documents(length: int) -> tuple[Document, ...]:
    return library(bundled.documents(), TOKENIZER, length, 8).documents[:8]


def subject(length: int) -> Subject:
    return Subject("bundled", "float32", "0" * 16, TRAINED, length)


def test_a_little_beyond_the_trained_length_only_some_documents_hold_far_facts() -> None:
    """The group must lie at the lowest depth, 28 tokens into the text, and depths are drawn."""
    read = documents(560)
    found = with_far_facts(subject(560), read, TOKENIZER, ())
    assert 0 < len(found) < len(read)
    assert found == tuple(document for document in read if document in found)
    assert require_far_facts(subject(560), read, TOKENIZER, ()) == found


def test_in_long_texts_and_within_the_trained_length_every_document_counts() -> None:
    for length in (1024, 256):
        read = documents(length)
        assert with_far_facts(subject(length), read, TOKENIZER, ()) == read


def test_a_text_in_which_no_fact_is_far_is_refused() -> None:
    read = documents(520)
    assert with_far_facts(subject(520), read, TOKENIZER, ()) == ()
    with pytest.raises(InputError, match=r"--to 520 is too short: no fact .* 512 tokens .* such as --to 1024"):
        require_far_facts(subject(520), read, TOKENIZER, ())


def test_a_race_reads_only_documents_with_far_facts_at_its_own_length() -> None:
    plan = full_plan(subject(608), ["rerope(window=8)"] * 4, documents(608), documents(608))
    shorter = replace(plan, race_length=560)
    found = race_on_far_facts(shorter, TOKENIZER, ())
    assert found == replace(shorter, race=with_far_facts(subject(560), plan.race, TOKENIZER, ()))
    assert 0 < len(found.race) < len(plan.race)


def test_a_race_in_which_no_fact_is_far_reads_what_it_would() -> None:
    plan = replace(full_plan(subject(608), ["rerope(window=8)"] * 4, documents(608), ()), race_length=520)
    assert race_on_far_facts(plan, TOKENIZER, ()) == plan
