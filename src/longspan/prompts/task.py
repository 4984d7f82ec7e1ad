"""A task whose examples are prompts in text, as long in tokens as wanted, whatever the tokenizer."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from longspan.errors import InputError
from longspan.prompts.example import Draft, PromptExample
from longspan.prompts.filler import Amount
from longspan.prompts.fit import largest
from longspan.task import Material, Task

SHORTEST = 0.97
"""The least share of the wanted length that a prompt with the room for its answer fills."""


@dataclass(frozen=True)
class Request:
    """What an example is drawn from.

    Arguments:
        seed: task, length and index.
        length: tokens wanted, with the room for the answer.
        index: which example.
        text: the user's text, for tasks that hide something in one.
    """

    seed: str
    length: int
    index: str
    text: str

    def generator(self) -> random.Random:
        """Return the random numbers of this example, from the start."""
        return random.Random(self.seed)


def fitted(size: Callable[[Amount], float], length: int, seed: str) -> Amount:
    """Return an amount of filler whose prompt with the room for its answer has 0.97 · length … length tokens.

    Arguments:
        size: tokens of prompt and room; infinite where there is not so much filler.
        seed: the example's name, for errors.

    Errors: InputError where there is no such amount.
    """
    amount = Amount()
    for grain in Amount._fields:
        more = largest(lambda n, a=amount, g=grain: size(a._replace(**{g: n})), length)
        if more is None:
            shortest = size(amount)
            needed = f"the shortest one has {shortest:g}" if shortest < float("inf") else "there is none"
            raise InputError(f"{seed}: no example has at most {length} tokens, {needed}: give a longer length")
        amount = amount._replace(**{grain: more})
        if size(amount) >= SHORTEST * length:
            break
    if not SHORTEST * length <= size(amount) <= length:
        raise InputError(
            f"{seed}: no example has {SHORTEST * length:.0f} … {length} tokens, the nearest has {size(amount):g}: "
            "give more text or another length"
        )
    return amount


def counted(material: Material, seed: str, draft: Draft, ids: tuple[int, ...], room: int) -> PromptExample:
    """Return an example with the place of each needle in tokens."""
    before = [len(material.opening) + len(material.encode(draft.prompt.up_to(i))) for i in draft.prompt.needles]
    depths, distances = tuple(tokens / len(ids) for tokens in before), tuple(len(ids) - tokens for tokens in before)
    return PromptExample(seed, draft, ids, room, depths, distances)


class PromptTask(Task[PromptExample], ABC):
    """A task in text: a value whose fields are settings with defaults.

    A task draws everything but the amount of filler from the seed alone, in an order that does not depend on the
    amount: with more filler the rest of the example stays what it was.
    """

    generated: ClassVar[int] = 0
    """The least number of tokens to leave for the answer."""

    @abstractmethod
    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Make the example with so much filler; None where there is not so much."""

    def example(self, material: Material, length: int, index: str) -> PromptExample:
        """Make one example whose prompt with the room for its answer is 0.97 · length … length tokens long.

        Errors: InputError where no amount of filler makes it so long, or the text is too short.
        """
        seed = self.seed(length, index)
        request = Request(seed, length, index, material.text)

        def made(amount: Amount) -> tuple[Draft, tuple[int, ...], int] | None:
            draft = self.draft(request, amount)
            if draft is None:
                return None
            answers = (" ".join(draft.answers), *draft.choices)
            room = max(self.generated, *(len(material.encode(" " + answer)) for answer in answers))
            return draft, (*material.opening, *material.encode(draft.prompt.text)), room

        def size(amount: Amount) -> float:
            found = made(amount)
            return float("inf") if found is None else len(found[1]) + found[2]

        found = made(fitted(size, length, seed))
        assert found is not None  # it fits
        return counted(material, seed, *found)
