"""What was the first letter of a list?

The answer is as far away as anything can be: a model that sees its last tokens only is at chance, however low its loss.
Chance is 1 in 26.

Source: Su 2023, kexue.fm/archives/9431 (tasks with a true global dependence).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import LETTERS, SymbolTask


@dataclass(frozen=True)
class FirstToken(SymbolTask):
    """The first letter.

    Arguments: see `SymbolTask`.
    """

    before = "What is the first letter of the list?\nLetters: "
    choices = LETTERS

    def answer(self, listed: Sequence[str]) -> str:
        """Return the first letter."""
        return listed[0]
