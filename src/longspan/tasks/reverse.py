"""Write a list of letters backwards.

A model must attend to the end of the list first and walk to its beginning; one mistake makes the answer wrong.
Chance is zero: 26^n answers for n letters.

Source: Deletang et al. 2022, arXiv:2207.02098, and Ruoss et al. 2023, arXiv:2305.16843 (reverse string).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import SymbolTask


@dataclass(frozen=True)
class Reverse(SymbolTask):
    """The letters from the last to the first.

    Arguments: see `SymbolTask`.
    """

    before = "Write the list of letters backwards.\nLetters: "

    def answer(self, listed: Sequence[str]) -> str:
        """Return the letters from the last to the first."""
        return " ".join(reversed(listed))
