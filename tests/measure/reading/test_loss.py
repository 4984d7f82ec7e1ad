from typing import Any

import pytest
import torch

from longspan.measure.kinds.reading import reading
from longspan.measure.kinds.retrieval import retrieval
from longspan.measure.kinds.truncation import truncation
from longspan.measure.reading.loss import BINS, loss_at_context, loss_by_position, loss_within
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from longspan.task import Example
from tiny import TRAINED_LENGTH, bytes_tokenizer, haystack, llama, prose, words_tokenizer

DOCUMENT = torch.randint(2, 60, (512,), generator=torch.Generator().manual_seed(0)).tolist()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(llama(60))


def test_a_context_is_what_was_fed(reader: Reader) -> None:
    """16 last tokens at a context of 64: two readings of 64 tokens, eight scored in each."""
    first = token_nll(reader, reader.ids(DOCUMENT[512 - 72 : 512 - 8]), 8)
    second = token_nll(reader, reader.ids(DOCUMENT[512 - 64 :]), 8)
    wanted = float(torch.cat([first, second], 1).mean())
    assert loss_at_context(reader, DOCUMENT, 64, 16) == {"loss": pytest.approx(wanted), "tokens": 16, "fed": 128}


def test_a_context_beyond_the_text_is_all_of_it(reader: Reader) -> None:
    whole = loss_at_context(reader, DOCUMENT, 512, 16)
    assert loss_at_context(reader, DOCUMENT, 520, 16) == whole
    assert whole["fed"] == 512


def test_an_opening_stands_before_every_text(reader: Reader) -> None:
    wanted = token_nll(reader, reader.ids([1, *DOCUMENT[1:]]), 16).mean()
    assert loss_at_context(reader, DOCUMENT, 512, 16, (1,))["loss"] == pytest.approx(float(wanted), abs=1e-5)


def test_positions_and_parts_are_means_of_the_same_losses() -> None:
    losses = torch.rand(511, dtype=torch.float64)
    found = loss_by_position(losses, [True] * 512, TRAINED_LENGTH, 16)
    assert found["loss"] == pytest.approx(float(losses[-16:].mean()))
    assert len(found["positions"]) == BINS
    assert found["positions"][0] == pytest.approx(float(losses[:7].mean()))  # token 0 is predicted by nothing
    assert found["positions"][-1] == pytest.approx(float(losses[-8:].mean()))
    assert found["short"] == pytest.approx(float(losses[: TRAINED_LENGTH - 1].mean()))
    assert found["second_half"] == pytest.approx(float(losses[255:].mean()))


def test_what_is_not_the_documents_own_is_not_scored() -> None:
    losses = torch.rand(511, dtype=torch.float64)
    own = [not (16 <= token < 24 or token == 500) for token in range(512)]
    found = loss_by_position(losses, own, TRAINED_LENGTH, 16)
    assert found["loss"] == pytest.approx(float((losses[-16:].sum() - losses[499]) / 15))
    assert found["positions"][2] is None
    assert found["short"] == pytest.approx(float((losses[:63].sum() - losses[15:23].sum()) / 55))


def test_where_all_first_tokens_are_of_facts_they_are_scored(reader: Reader) -> None:
    """The price on short texts is then one of facts, the same ones for every method; without them it has no value."""
    own = [False] * TRAINED_LENGTH + [True] * (512 - TRAINED_LENGTH)
    losses = token_nll(reader, reader.ids(DOCUMENT))[0]
    found = loss_by_position(losses, own, TRAINED_LENGTH, 16)
    assert found["short"] == pytest.approx(float(losses[: TRAINED_LENGTH - 1].mean()))
    assert loss_within(reader, DOCUMENT, own, TRAINED_LENGTH)["short"] == pytest.approx(found["short"], abs=1e-5)
    assert found["positions"][0] is None


def test_one_reading_gives_what_reading_for_each_would() -> None:
    tokenizer = words_tokenizer()
    reader = Reader(llama(len(tokenizer)))
    text = haystack(tokenizer(prose(900))["input_ids"], tokenizer, 512, "0", tail=32)
    found = reading(reader, text, TRAINED_LENGTH, 32)
    assert found["loss"] == pytest.approx(loss_at_context(reader, text.ids, 512, 32)["loss"], abs=1e-5)
    asked = retrieval(reader, text)
    assert found["questions"] == asked["questions"]
    assert (found["right"], found["asked"], found["fed"]) == (asked["right"], asked["asked"], len(text.ids))


@pytest.mark.parametrize("tail", [16, 24])
def test_truncation_is_the_loss_in_its_windows_and_the_questions_asked_in_the_last(tail: int) -> None:
    tokenizer = words_tokenizer()
    reader = Reader(llama(len(tokenizer)))
    text = haystack(tokenizer(prose(900))["input_ids"], tokenizer, 256, "0", (1,), tail=tail)
    found = truncation(reader, text, 64, tail, (1,))
    wanted = loss_at_context(reader, text.ids, 64, tail, (1,))
    assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-5)
    assert (found["tokens"], found["fed"]) == (tail, wanted["fed"])
    assert text.room <= tail
    cut = Example((1, *text.ids[-63 : -text.room]), (), text.questions)
    assert cut.length == 64
    assert scores(found) == pytest.approx(scores(retrieval(reader, cut, fresh=True)), abs=1e-3)


def test_where_the_tail_does_not_hold_a_question_no_fact_is_cut() -> None:
    tokenizer = bytes_tokenizer()
    reader = Reader(llama(len(tokenizer)))
    text = haystack(tokenizer(prose(900))["input_ids"], tokenizer, 1024, "0", tail=16)
    assert text.room > 16
    found = truncation(reader, text, 128, 16)
    cut = Example(text.ids[-(128 - text.room) :], (), text.questions)
    assert scores(found) == pytest.approx(scores(retrieval(reader, cut, fresh=True)), abs=1e-3)


def scores(found: dict[str, Any]) -> list[float]:
    return [score for question in found["questions"] for score in question["scores"]]
