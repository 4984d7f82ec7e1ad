"""One example of a task in text: a prompt, what answers it, and controls that a right answer must not survive."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longspan.errors import InputError
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import Exact, Scoring
from longspan.task import Example, Question


@dataclass(frozen=True)
class Draft:
    """A prompt and what answers it, before anybody counted its tokens.

    Arguments:
        prompt: what the model reads.
        answers: the references; `scoring` decides whether one of them suffices or all are needed.
        scoring: how an output is compared with them.
        choices: all answers that a model may choose from, for scoring by likelihood; empty where there are too many.
    """

    prompt: Prompt
    answers: tuple[str, ...]
    scoring: Scoring = Exact()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class PromptExample:
    """One example, its tokens counted.

    Arguments:
        seed: task, length and index, `niah_single_1/4096/0`.
        draft: prompt, answers, scoring and choices.
        ids: the prompt's tokens, with those that the tokenizer puts before every text.
        room: tokens that are left for the answer.
        depths: of each needle, the share of the prompt's tokens before it.
        distances: of each needle, the tokens from its first one to the prompt's end.
    """

    seed: str
    draft: Draft
    ids: tuple[int, ...]
    room: int
    depths: tuple[float, ...]
    distances: tuple[int, ...]

    @property
    def prompt(self) -> Prompt:
        """What the model reads."""
        return self.draft.prompt

    @property
    def length(self) -> int:
        """Tokens of the prompt with the room for its answer."""
        return len(self.ids) + self.room

    @property
    def digest(self) -> str:
        """SHA-256 of the prompt's text and its answers."""
        return hashlib.sha256("\0".join((self.prompt.text, *self.draft.answers)).encode()).hexdigest()

    def score(self, output: str) -> float:
        """Return the score of what a model wrote after the prompt, 0 … 1."""
        return self.draft.scoring.score(output, self.draft.answers)

    @property
    def controls(self) -> dict[str, Prompt]:
        """The same question with less to answer it from, by name."""
        prompt = self.prompt
        found = {"question_alone": prompt.question_alone()}
        if prompt.needles:  # a list in another order is another list, with an answer of its own
            found |= {"shuffled": prompt.shuffled(self.seed), "without_needles": prompt.without_needles()}
        return found

    def question(self, encode: Callable[[str], tuple[int, ...]]) -> Example:
        """Return a text and a question with choices, which is answered by likelihood and needs no writing.

        Arguments:
            encode: the token ids of a text, without special tokens.

        Errors: InputError where there are too many possible answers to be choices.
        """
        if not self.draft.choices:
            raise InputError(f"{self.seed} has no choices to compare: let the model write its answer")
        *text, last = self.ids
        choices = tuple(encode(" " + choice) for choice in self.draft.choices)
        right = self.draft.choices.index(self.draft.answers[0])
        depth, distance = (*self.depths, 0.0)[0], (*self.distances, len(self.ids))[0]
        return Example(tuple(text), (False,) * len(text), (Question((last,), choices, right, depth, distance),))

    def truncated(self, length: int, opening: Sequence[int] = ()) -> tuple[int, ...]:
        """Return the ids of the prompt's end: `length` tokens with the opening and the room for the answer.

        Errors: InputError where that leaves nothing of the prompt.
        """
        kept = length - self.room - len(opening)
        if kept < 1:
            raise InputError(f"{length} tokens hold no more than the answer: give at least {length + 1 - kept}")
        return self.ids if length >= self.length else (*opening, *self.ids[-kept:])


@dataclass(frozen=True)
class PromptGroup:
    """Several prompts about one text, each answered by itself; a model may read what they share once.

    Arguments:
        examples: the prompts.
        depths: where in the text each one's answer is, 0 … 1; a report shows results by it.
    """

    examples: tuple[PromptExample, ...]
    depths: tuple[float, ...]

    @property
    def length(self) -> int:
        """Tokens of the longest prompt with the room for its answer."""
        return max(example.length for example in self.examples)
