"""Is the number of ones among zeros and ones even or odd?

Every bit matters: no part of the list says anything about the answer.
Chance is 1 in 2.

Source: Deletang et al. 2022, arXiv:2207.02098, and Ruoss et al. 2023, arXiv:2305.16843 (parity check).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import BITS, SymbolTask


@dataclass(frozen=True)
class Parity(SymbolTask):
    """Whether ones are even or odd in number.

    Arguments: see `SymbolTask`.
    """

    before = "Is the number of ones in the list even or odd?\nList: "
    choices = ("even", "odd")

    symbols: tuple[str, ...] = BITS

    def answer(self, listed: Sequence[str]) -> str:
        """Return even or odd."""
        return self.choices[listed.count("1") % 2]
