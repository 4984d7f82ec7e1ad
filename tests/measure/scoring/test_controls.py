"""What each control leaves of each form of example."""

from typing import Any

import pytest

from longspan.measure.scoring.controls import CONTROLS, controlled
from longspan.prompts.example import PromptExample, PromptGroup
from longspan.prompts.sequence import SequenceExample
from longspan.task import Example, Material, Question
from longspan.tasks.mqar import MultiQueryRecall
from longspan.tasks.niah_depths import NiahDepths
from longspan.tasks.niah_single_2 import NiahSingle2
from longspan.tasks.retrieval import FactRetrieval
from prompting import TEXT, TOKENIZERS, material, tokenizer

TRAINED = 400


def facts(name: str) -> tuple[Example, Material]:
    of = material(name)
    of = Material(of.tokenizer, of.encode(TEXT), of.opening, TEXT)
    return FactRetrieval().example(of, 900, "0"), of


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_prompt_keeps_its_question_and_loses_what_the_control_takes(name: str) -> None:
    of = material(name)
    example = NiahSingle2().example(of, 1500, "0")
    value = example.draft.answers[0]
    needle = f"is: {value}."
    made: dict[str, Any] = {control: controlled(control, example, of, TRAINED) for control in CONTROLS}
    assert all(isinstance(each, PromptExample) for each in made.values())
    for control in ("question_alone", "without_needles", "shuffled"):
        found: Any = made[control]
        assert found.ids == (*of.opening, *of.encode(found.prompt.text))
        assert found.prompt.text.endswith(example.prompt.question)
        assert (needle in found.prompt.text) is (control == "shuffled")
        assert found.draft.answers == example.draft.answers
    assert len(made["question_alone"].ids) < len(made["without_needles"].ids) < len(example.ids)
    assert sorted(made["shuffled"].prompt.context) == sorted(example.prompt.context)
    assert made["shuffled"].prompt.context != example.prompt.context
    cut: Any = made["truncated"]
    assert cut.length == TRAINED
    kept = TRAINED - cut.room - len(of.opening)
    assert cut.ids == (*of.opening, *example.ids[-kept:])
    assert controlled("truncated", example, of, example.length) is None


@pytest.mark.parametrize("name", ["words", "words with BOS", "bytes"])
def test_a_text_with_questions_loses_the_facts_or_everything(name: str) -> None:
    example, of = facts(name)
    opening = len(of.opening)
    without, alone = (controlled(control, example, of, TRAINED) for control in ("without_needles", "question_alone"))
    assert without is not None
    assert alone is not None
    kept = [token for token, own in zip(example.ids, example.own, strict=True) if own]
    assert list(without.ids[max(1, opening) :]) == kept[0 if opening else 1 :]
    assert alone.ids == example.ids[: max(1, opening)]
    assert without.questions == alone.questions == example.questions
    assert controlled("shuffled", example, of, TRAINED) is None
    cut = controlled("truncated", example, of, TRAINED)
    assert cut is not None
    assert cut.length == TRAINED
    assert controlled("truncated", example, of, 900) is None


def test_a_trained_length_that_the_question_fills_leaves_nothing_to_ask() -> None:
    question = Question((1,) * 20, ((2,), (3,)), 0, 0.5, 30)
    example = Example((1,) * 50, (True,) * 50, (question,))
    assert controlled("truncated", example, material("words"), 21) is None
    assert controlled("truncated", example, material("words"), 22) is not None


def test_a_sequence_loses_its_context() -> None:
    example = MultiQueryRecall(vocabulary=64).example(Material(None), 128, "0")
    alone = controlled("question_alone", example, Material(None), 64)
    assert isinstance(alone, SequenceExample)
    assert alone.ids == example.ids[example.context :]
    assert [controlled(name, example, Material(None), 64) for name in ("without_needles", "shuffled")] == [None, None]
    cut = controlled("truncated", example, Material(None), 64)
    assert cut is not None
    assert cut.ids == example.ids[-64:]
    assert all(cut.ids[place] == example.ids[place + 64] for place in cut.targets)
    assert cut.targets == {place - 64: right for place, right in example.targets.items() if place >= 64}


def test_a_group_is_controlled_prompt_by_prompt() -> None:
    of = material("BPE")
    group = NiahDepths(depths=3).example(of, 1500, "0")
    for control in CONTROLS:
        made = controlled(control, group, of, TRAINED)
        assert isinstance(made, PromptGroup)
        wanted = [controlled(control, each, of, TRAINED) for each in group.examples]
        assert list(made.examples) == wanted
    shuffled = controlled("shuffled", group, of, TRAINED)
    assert shuffled is not None
    assert len({each.prompt.context for each in shuffled.examples}) == 1  # one text, still read once
    assert controlled("truncated", group, of, 1500) is None


def test_tokenizers_are_those_of_the_examples() -> None:
    assert material("bytes").tokenizer is tokenizer("bytes")
