from typing import Any

import pytest
import torch

from longspan.measure.kinds.retrieval import retrieval
from longspan.measure.reading.reader import Reader
from longspan.pretrained.attach import attached
from longspan.task import Example, Question
from tiny import bytes_tokenizer, haystack, llama, prose, words_tokenizer

TOKENIZERS = {"one token per choice": words_tokenizer, "several tokens per choice": bytes_tokenizer}
METHODS = (
    "",
    "rerope(window=16) + log_length",
    "self_extend(window=16, group=8)",
    "dual_chunk",
    "streaming_llm(size=48)",
)


def scores_of(found: dict[str, Any]) -> list[float]:
    return [score for question in found["questions"] for score in question["scores"]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_one_cache_for_all_questions_scores_as_reading_anew(name: str, method: str) -> None:
    tokenizer = TOKENIZERS[name]()
    model = llama(len(tokenizer))
    reader = Reader(model)
    hay = haystack(tokenizer(prose(900))["input_ids"], tokenizer, 400, "0")
    if not method:
        cached, fresh = retrieval(reader, hay), retrieval(reader, hay, fresh=True)
    else:
        with attached(model, method, length=400):
            cached, fresh = retrieval(reader, hay), retrieval(reader, hay, fresh=True)
    assert scores_of(cached) == pytest.approx(scores_of(fresh), abs=1e-3)
    assert cached["asked"] == len(hay.questions)


def test_scores_are_the_likelihood_of_the_whole_choice() -> None:
    model = llama(60)
    reader = Reader(model)
    choices = ((5, 6), (7, 8))
    hay = Example((3, 9, 4, 12), (True,) * 4, (Question((20, 21), choices, 0, 0.5, 3),))
    (found,) = retrieval(reader, hay)["questions"]
    for choice, score in zip(choices, found["scores"], strict=True):
        with torch.no_grad():
            likely = model(torch.tensor([[3, 9, 4, 12, 20, 21, *choice]])).logits[0].log_softmax(-1)
        assert score == pytest.approx(float(likely[5, choice[0]] + likely[6, choice[1]]), abs=1e-4)


def test_choices_of_different_lengths_are_compared_per_token() -> None:
    reader = Reader(llama(60))
    longer = Example((3, 9, 4, 12), (True,) * 4, (Question((20, 21), ((5, 6), (7,)), 0, 0.5, 3),))
    equal = Example((3, 9, 4, 12), (True,) * 4, (Question((20, 21), ((5, 6), (7, 8)), 0, 0.5, 3),))
    (per_token,), (total,) = retrieval(reader, longer)["questions"], retrieval(reader, equal)["questions"]
    assert per_token["scores"][0] == pytest.approx(total["scores"][0] / 2, abs=1e-5)


def test_a_question_is_right_when_its_answer_scores_highest() -> None:
    reader = Reader(llama(60))
    first = Example((3, 9, 4, 12), (True,) * 4, (Question((20, 21), ((5,), (7,)), 0, 0.5, 3),))
    second = Example((3, 9, 4, 12), (True,) * 4, (Question((20, 21), ((5,), (7,)), 1, 0.5, 3),))
    assert retrieval(reader, first)["right"] + retrieval(reader, second)["right"] == 1
