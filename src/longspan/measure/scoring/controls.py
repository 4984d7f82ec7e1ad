"""Controls: the same questions with less to answer them from. A right answer that survives one shows no long reading.

question_alone     nothing but the question: answers from habit, or that leak from the question
without_needles    the text without what answers: guesses
shuffled           the pieces of the text around and with what answers, in another order: what the order contributes
truncated          the last trained-length tokens: what a model finds that reads no further
"""

from dataclasses import replace
from typing import Any

from longspan.errors import InputError
from longspan.prompts.example import PromptExample, PromptGroup
from longspan.prompts.sequence import SequenceExample
from longspan.task import Example, Material

CONTROLS = ("question_alone", "without_needles", "shuffled", "truncated")


def controlled(name: str, example: Any, material: Material, trained_length: int) -> Any | None:
    """Return an example as a control has it; None where the control does not apply to it."""
    if isinstance(example, PromptGroup):
        found = [controlled(name, each, material, trained_length) for each in example.examples]
        return None if None in found else replace(example, examples=tuple(found))
    if name == "truncated":
        return _truncated(example, material, trained_length)
    if isinstance(example, PromptExample):
        prompt = example.controls.get(name)
        if prompt is None:
            return None
        ids = (*material.opening, *material.encode(prompt.text))
        return replace(example, draft=replace(example.draft, prompt=prompt), ids=ids, depths=(), distances=())
    if isinstance(example, Example):
        return _without(name, example, len(material.opening))
    if isinstance(example, SequenceExample) and name == "question_alone":
        return example.controls.get("without_context")
    return None


def _truncated(example: Any, material: Material, trained_length: int) -> Any | None:
    if example.length <= trained_length:
        return None
    try:
        if isinstance(example, PromptExample):
            ids = example.truncated(trained_length, material.opening)
            return replace(example, ids=ids, depths=(), distances=())
        if isinstance(example, Example):
            return example.truncated(trained_length, material.opening)
        return example.truncated(trained_length)
    except InputError:  # the answer alone fills the trained length
        return None


def _without(name: str, example: Example, opening: int) -> Example | None:
    """The questions after the opening alone, or after a text without what the task put in."""
    kept = list(range(max(1, opening)))
    if name == "without_needles":
        kept += [i for i in range(len(kept), len(example.ids)) if example.own[i]]
    elif name != "question_alone":
        return None
    return Example(tuple(example.ids[i] for i in kept), tuple(example.own[i] for i in kept), example.questions)
