"""Examples of a task for training and for tests; no prompt is in both.

What belongs to the tests is decided by a hash of the prompt, so that nothing has to be remembered: training draws
again where a prompt belongs to the tests, and tests where it does not.

Source: train and test of length generalization as in Ruoss et al. 2023, arXiv:2305.16843, and Kazemnejad et al. 2023,
arXiv:2305.19466.
"""

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Any

from longspan.errors import InputError, shown
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.fit import largest
from longspan.prompts.task import PromptTask, Request

TESTED = 8
"""One prompt in so many belongs to the tests."""
MOST_DRAWS = 1000
SURE = 20
"""After so many drafts that are all too long, none is short enough."""


@dataclass(frozen=True)
class Answered:
    """A prompt and its answer as token ids.

    Arguments:
        prompt: what is given.
        answer: what is to be written after it, without the token that ends a text.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True)
class Examples:
    """All examples of a task.

    Arguments:
        task: whose drafts are as long as the amount of filler says.
        tokenizer: of the model.
    """

    task: PromptTask
    tokenizer: Any

    def training(self, seed: str, shortest: int, longest: int) -> Answered:
        """Return an example of a length drawn evenly from `shortest` … `longest` symbols.

        Errors: InputError where the tests leave none.
        """
        generator = Random(seed)
        for number in range(MOST_DRAWS):
            draft = draft_of(self.task, f"{self.task.name}/{seed}/{number}", generator.randint(shortest, longest))
            if not is_held_out(draft.prompt.text):
                return self._answered(draft)
        raise InputError(f"{self.task.name} has too few prompts of {shortest} … {longest} symbols to train and test on")

    def test(self, length: int, index: int) -> Answered:
        """Return a test example of `length` symbols.

        Errors: InputError where there is none.
        """
        return self._answered(held_out_draft(self.task, length, index))

    def _answered(self, draft: Draft) -> Answered:
        def encoded(text: str) -> tuple[int, ...]:
            ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            if (unknown := self.tokenizer.unk_token_id) is not None and unknown in ids:
                raise InputError(f"the tokenizer has no token for a part of {shown(text)}: give tokenizer = 'bytes'")
            return ids

        return Answered(encoded(draft.prompt.text), encoded(" " + " ".join(draft.answers)))


def held_out_draft(task: PromptTask, length: int, index: int) -> Draft:
    """Return the draft of a test example of `length` symbols.

    Errors: InputError where there is none.
    """
    for number in range(MOST_DRAWS):
        draft = draft_of(task, f"{task.name}/test/{length}/{index}/{number}", length)
        if is_held_out(draft.prompt.text):
            return draft
    raise InputError(f"{task.name} has too few prompts of {length} symbols to test on: give longer ones")


def draft_of(task: PromptTask, seed: str, symbols: int) -> Draft:
    """Return a draft of a task whose list has so many symbols; signs inside it count.

    A short expression may have no place for the last symbols: it is drawn again then, unless none is short enough.

    Errors: InputError where it has none of this length.
    """
    least = float("inf")
    for number in range(MOST_DRAWS):
        request = Request(f"{seed}/again {number}" if number else seed, symbols, "", "")
        shortest = _size(task, request, Amount())
        if shortest <= symbols and (draft := _drawn(task, request, symbols, int(shortest))) is not None:
            return draft
        least = min(least, shortest)
        if number == SURE and least > symbols:
            break
    raise InputError(f"{task.name} has no list of {symbols} symbols; its shortest has {least:g}")


def _drawn(task: PromptTask, request: Request, symbols: int, shortest: int) -> Draft | None:
    """Return the draft of a request that has so many symbols; None where units and words do not add up to them."""
    draft = task.draft(request, Amount(symbols - shortest))
    if draft is None or len(draft.prompt.context) != symbols:
        # A unit has several symbols, a word has one.
        units = largest(lambda units: _size(task, request, Amount(units)), symbols)
        assert units is not None  # none at all fits
        draft = task.draft(request, Amount(units, symbols - int(_size(task, request, Amount(units)))))
    return draft if draft is not None and len(draft.prompt.context) == symbols else None


def _size(task: PromptTask, request: Request, amount: Amount) -> float:
    draft = task.draft(request, amount)
    return float("inf") if draft is None else len(draft.prompt.context)


def is_held_out(prompt: str) -> bool:
    """Return whether a prompt belongs to the tests."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return digest[0] % TESTED == 0
