"""Copy a list of letters.

A model must write all letters again in their order; one mistake makes the answer wrong.
Chance is zero: 26^n answers for n letters.

Source: Kazemnejad et al. 2023, arXiv:2305.19466 (copy); Ruoss et al. 2023, arXiv:2305.16843 (duplicate string).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import SymbolTask


@dataclass(frozen=True)
class Copy(SymbolTask):
    """The letters as they are.

    Arguments: see `SymbolTask`.
    """

    before = "Copy the list of letters.\nLetters: "

    def answer(self, listed: Sequence[str]) -> str:
        """Return the letters."""
        return " ".join(listed)
