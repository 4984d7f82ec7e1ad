"""Every form of example asked of a model: scores that were found by hand, and what is read for them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from longspan.errors import InputError, LongspanError
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.shared_prefix import nodes
from longspan.measure.scoring.examining import check_known, examined
from longspan.prompts.example import Draft, PromptExample, PromptGroup
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.prompts.sequence import SequenceExample
from longspan.task import Example, Question
from reading import counting, scaled
from standin import StandIn
from tiny import llama

PERIOD = 7


class Digits:
    """A tokenizer of one token per digit."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [int(letter) for letter in text if letter.isdigit()]}

    def decode(self, ids: Any, **_: Any) -> str:
        return "".join(map(str, ids))


def loaded(model: Any) -> LoadedModel:
    """A model as surveys use it, with a tokenizer of digits."""
    found = LoadedModel.__new__(LoadedModel)
    found.model, found.tokenizer, found.reader, found.opening = model, Digits(), Reader(model), ()
    return found


@pytest.fixture
def counter() -> LoadedModel:
    """A model that counts 0 … 6 and begins again."""
    return loaded(StandIn(PERIOD, lambda following, visible: 0.1 + 0 * visible))


def prompt(ids: tuple[int, ...], answer: str, room: int = 3, choices: tuple[str, ...] = ()) -> PromptExample:
    return PromptExample("t/9/0", Draft(Prompt("", (), ""), (answer,), AllOf(), choices), ids, room, (0.25,), (3,))


def test_a_prompt_is_answered_in_writing(counter: LoadedModel) -> None:
    found = examined(counter, prompt((0, 1, 2), "345"))
    assert (found["score"], found["scored"], found["fed"]) == (1, "writing", 3)
    assert (found["output"], found["answers"]) == ("345", ["345"])
    assert found["likelihood"] == pytest.approx(-0.3, abs=1e-5)
    assert examined(counter, prompt((0, 1, 2), "34", room=1))["score"] == 0
    assert examined(counter, prompt((0, 1, 2), "35"))["score"] == 0


def test_a_prompt_with_choices_is_answered_by_likelihood(counter: LoadedModel) -> None:
    found = examined(counter, prompt((0, 1, 2), "3", choices=("2", "3", "5")))
    assert (found["score"], found["scored"], found["fed"]) == (1, "likelihood", 2)
    assert examined(counter, prompt((0, 1, 2), "5", choices=("2", "3", "5")))["score"] == 0


def test_questions_share_a_text_and_the_score_is_the_share_of_right_answers(counter: LoadedModel) -> None:
    right, wrong = Question((3, 4), ((5,), (6,)), 0, 0.5, 4), Question((3, 4), ((5,), (6,)), 1, 0.5, 4)
    found = examined(counter, Example((0, 1, 2), (True,) * 3, (right, wrong, right)))
    assert found["score"] == pytest.approx(2 / 3)
    assert (found["right"], found["asked"], found["scored"]) == (2, 3, "likelihood")


def test_a_sequence_is_scored_at_its_targets(counter: LoadedModel) -> None:
    found = examined(counter, SequenceExample((0, 1, 2, 3), {1: 2, 3: 0, 2: 3}))
    assert found["score"] == pytest.approx(2 / 3)
    assert (found["scored"], found["fed"], found["targets"]) == ("most likely token", 4, 3)
    assert found["likelihood"] == pytest.approx(-0.3, abs=1e-5)


def test_a_sequence_of_many_targets_makes_logits_of_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same result, whatever the number of targets in a slice."""
    model = loaded(llama(60))
    example = SequenceExample(tuple(range(2, 42)), {position: (7 * position) % 60 for position in range(1, 40)})
    whole, made = examined(model, example), []
    logits = model.reader.logits

    def watched(hidden: torch.Tensor) -> torch.Tensor:
        made.append(len(hidden))
        return logits(hidden)

    monkeypatch.setattr(model.reader, "logits", watched)
    monkeypatch.setattr("longspan.measure.reading.reader.SLICE_BYTES", 4 * 60 * 8)
    found = examined(model, example)
    assert made == [8, 8, 8, 8, 7]
    assert found.pop("likelihood") == pytest.approx(whole.pop("likelihood"), rel=1e-5)
    assert found == whole


GROUP = ((1, 2, 3, 4), (1, 2, 3), (1, 2, 3, 4, 5), (0, 1))


def test_a_group_of_prompts_is_what_its_prompts_are_alone(counter: LoadedModel) -> None:
    examples = tuple(prompt(ids, answer) for ids, answer in zip(GROUP, ("560", "45", "7", "2"), strict=True))
    found = examined(counter, PromptGroup(examples, (0.0, 0.3, 0.6, 1.0)))
    alone = [examined(counter, example) for example in examples]
    assert [each["score"] for each in alone] == [1, 1, 0, 1]
    assert found["score"] == 0.75
    assert [each["output"] for each in found["prompts"]] == [each["output"] for each in alone]
    assert [each["likelihood"] for each in found["prompts"]] == pytest.approx([each["likelihood"] for each in alone])
    assert [(each["depth"], each["distance"]) for each in found["prompts"]] == [(n, 3) for n in (0.0, 0.3, 0.6, 1.0)]
    assert found["fed"] == nodes(GROUP) == 7


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_where_keys_depend_on_the_length_each_prompt_is_read_by_itself(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 64 tokens, the answer included; within them prompts share."""
    model = scaled(kind)
    model.generation_config.eos_token_id = None
    found = loaded(model)
    texts = [tuple(2 + i % 50 for i in range(60 + n)) for n in range(3)]
    fed = counting(found.reader, monkeypatch)
    group = PromptGroup(tuple(prompt(ids, "x", room=1) for ids in texts), (0.0, 0.5, 1.0))
    assert examined(found, group)["fed"] == sum(fed) == 62
    fed.clear()
    group = PromptGroup(tuple(prompt(ids, "x", room=9) for ids in texts), (0.0, 0.5, 1.0))
    assert examined(found, group)["fed"] == 60 + 61 + 62
    assert sum(fed) == 60 + 61 + 62 + 3 * 8
    fed.clear()
    text = Example(tuple(texts[0]), (True,) * 60, (Question((3,) * 8, ((5,), (6,)), 0, 0.5, 4),))
    examined(found, text)
    assert fed == [68]


def test_nan_is_no_wrong_answer() -> None:
    model = llama(60)
    broken = loaded(model)
    with torch.no_grad():
        model.get_submodule("model.layers.1.mlp.down_proj").get_parameter("weight").fill_(float("nan"))
    question = Question((3, 4), ((5,), (6,)), 0, 0.5, 4)
    for example, number in (
        (Example((0, 1, 2), (True,) * 3, (question,)), "score"),
        (SequenceExample((0, 1, 2), {1: 2}), "likelihood"),
        (prompt((0, 1, 2), "3"), "likelihood"),
    ):
        found = examined(broken, example)[number]
        assert found != found


def test_what_is_no_example_is_refused(counter: LoadedModel) -> None:
    with pytest.raises(LongspanError, match="an example of SimpleNamespace cannot be asked of a model"):
        examined(counter, SimpleNamespace())


def test_a_sequence_of_tokens_that_the_model_does_not_have_is_refused(counter: LoadedModel) -> None:
    last, beyond = (SequenceExample((0, token, 1), {1: 2}) for token in (PERIOD - 1, PERIOD))
    check_known(counter.reader, last)
    assert examined(counter, last)["fed"] == 3
    message = "its sequences hold token 7 and the model has 7 tokens: set vocabulary=7 or less"
    for ask in (lambda: check_known(counter.reader, beyond), lambda: examined(counter, beyond)):
        with pytest.raises(InputError, match=message):
            ask()
