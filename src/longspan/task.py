"""A task: what a model is asked to do, as examples of an exact length, the same on every machine.

A task is one file of `longspan/tasks`; the folder is the registry. An example knows its length in tokens and scores an
answer. `Example` is the form that a base or tiny model can answer: a text and questions about it, each with choices, of
which the most likely one is the model's answer. What is asked in this form is measured by one piece of code, which
reads the text once and scores every choice after it (`longspan.measure.scoring.answers`). Tasks that a model answers in
writing are `longspan.prompts.task.PromptTask`, those within a sequence of ids `longspan.prompts.sequence.SequenceTask`.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from longspan.errors import InputError, shown
from longspan.memo import remember
from longspan.notation import read_value
from longspan.registry import name_of, registered


@runtime_checkable
class Measured(Protocol):
    """Whatever knows how many tokens a model reads and writes for it."""

    @property
    def length(self) -> int:
        """Tokens of the longest prompt together with its answer."""
        ...


MeasuredExample = TypeVar("MeasuredExample", bound=Measured)


@dataclass(frozen=True)
class Question:
    """A question about a text: which of `choices` continues text + `ids`?

    Arguments:
        ids: the question's tokens.
        choices: the tokens of each choice.
        answer: index of the right choice.
        depth: where in the text the answer is, 0 … 1; a report shows results by it.
        distance: tokens from the first token of what answers it to the question's end.
    """

    ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    answer: int
    depth: float
    distance: int

    def right(self, scores: Sequence[float]) -> bool | None:
        """Whether the choice of the highest score is the right one; None where a score is NaN."""
        if any(score != score for score in scores):
            return None
        return scores.index(max(scores)) == self.answer


@dataclass(frozen=True)
class Example:
    """A text and the questions about it.

    Arguments:
        ids: the text's tokens.
        own: of each token, whether it belongs to the material; tokens that the task put in and the opening do not.
        questions: asked after the text, each by itself.
    """

    ids: tuple[int, ...]
    own: tuple[bool, ...]
    questions: tuple[Question, ...]

    @property
    def room(self) -> int:
        """Tokens of the longest question together with its answer."""
        return max(len(question.ids) + max(map(len, question.choices)) for question in self.questions)

    @property
    def length(self) -> int:
        """Tokens of the longest prompt together with its answer."""
        return len(self.ids) + self.room

    def truncated(self, length: int, opening: Sequence[int] = ()) -> "Example":
        """Return the same questions after the text's end alone, `length` tokens with the longest question and answer.

        Errors: InputError where that leaves no text.
        """
        room = length - self.room - len(opening)
        if room < 1:
            raise InputError(f"{length} tokens hold no more than the question: give at least {length + 1 - room}")
        if length >= self.length:
            return self
        return Example((*opening, *self.ids[-room:]), (*[False] * len(opening), *self.own[-room:]), self.questions)


@dataclass(frozen=True)
class Material:
    """What an example is made from.

    Arguments:
        tokenizer: the model's own.
        document: token ids of a text, for tasks that hide something in one.
        opening: the special tokens that the tokenizer puts before every text.
        text: a text, for tasks in text that hide something in one.
    """

    tokenizer: Any
    document: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    text: str = ""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text, without special tokens."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


class Task(ABC, Generic[MeasuredExample]):
    """What a model is asked to do: a value whose fields are settings with defaults.

    Contract tests hold every task to this: equal arguments give equal examples, another length or index gives another
    example, and an example of length n is exactly n tokens long. Only one in text, whose tokens are no sum over its
    parts, may have 3 % fewer.
    """

    @property
    def name(self) -> str:
        """The task's name: the name of its file."""
        return name_of(type(self))

    def seed(self, length: int, index: str) -> str:
        """Return the seed of one example, which is its name too."""
        return f"{self.name}/{length}/{index}"

    def generator(self, length: int, index: str) -> random.Random:
        """Return the random numbers of one example: they depend on task, length and index, and on nothing else."""
        return random.Random(self.seed(length, index))

    def require(self, holds: bool, name: str, allowed: str) -> None:
        """Refuse the setting `name` unless `holds`.

        Errors: InputError, which says what is allowed and what was given.
        """
        if not holds:
            raise InputError(f"{self.name}: {name} must be {allowed}, got {shown(getattr(self, name))}")

    def require_between(self, least: float, most: float, *names: str) -> None:
        """Refuse settings outside least … most.

        Errors: InputError.
        """
        for name in names:
            self.require(least <= getattr(self, name) <= most, name, f"{least:g} … {most:g}")

    @abstractmethod
    def example(self, material: Material, length: int, index: str) -> MeasuredExample:
        """Make one example; its longest prompt, with its answer, is exactly `length` tokens.

        Errors: InputError where the length or the material does not suffice.
        """


@remember(None)
def tasks() -> dict[str, type[Task[Any]]]:
    """Return every task by its name, found by walking the folder."""
    return registered("longspan.tasks", Task)


def task_of(text: str) -> Task[Any]:
    """Return the task that a text describes, "niah_multikey_1" or "niah_multikey_1(keys=8)".

    Errors: NotationError for a text that names none, InputError for a setting out of range.
    """
    return read_value(text, tasks(), "task")
