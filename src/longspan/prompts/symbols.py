"""Tasks about a list of symbols, written with spaces between them so that most tokenizers give each its own token."""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import Exact, OnlyOne
from longspan.prompts.task import PromptTask, Request

LETTERS = tuple(ascii_lowercase)
BITS = ("0", "1")


@dataclass(frozen=True)
class ListTask(PromptTask, ABC):
    """A random list and a question about it; a longer example has the same first symbols."""

    before: ClassVar[str]
    """The instruction; `{task.symbols}` is replaced by a setting."""
    question: ClassVar[str] = "\nAnswer:"
    shortest: ClassVar[int] = 1
    """The least number of symbols."""
    choices: ClassVar[tuple[str, ...]] = ()
    """All answers, where they are few."""

    @abstractmethod
    def answer(self, listed: Sequence[str]) -> str:
        """Return the right answer for a list of symbols."""

    @abstractmethod
    def draw(self, generator: random.Random, length: int) -> list[str]:
        """Draw so many symbols, the first ones independent of how many."""

    def shown(self, listed: Sequence[str]) -> Sequence[str]:
        """Return what the prompt shows of the list."""
        return listed

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """List `amount.units` symbols more than the least number."""
        if amount.words or amount.characters:
            return None
        listed = self.draw(request.generator(), self.shortest + amount.units)
        context = tuple(symbol + " " for symbol in self.shown(listed))
        prompt = Prompt(self.before.format(task=self), context, self.question)
        scoring = OnlyOne(self.choices) if self.choices else Exact()
        return Draft(prompt, (self.answer(listed),), scoring, self.choices)


@dataclass(frozen=True)
class SymbolTask(ListTask, ABC):
    """A list of symbols that are drawn independently.

    Arguments:
        symbols: what the list consists of.
    """

    symbols: tuple[str, ...] = LETTERS

    def draw(self, generator: random.Random, length: int) -> list[str]:
        """Draw so many symbols, the first ones independent of how many."""
        return [generator.choice(self.symbols) for _ in range(length)]
