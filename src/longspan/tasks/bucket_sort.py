"""Sort a list of few different digits.

A model must count each of five digits; the answer follows from the counts.
Chance is zero for a long list.

Source: Deletang et al. 2022, arXiv:2207.02098, and Ruoss et al. 2023, arXiv:2305.16843 (bucket sort, 5 buckets).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import SymbolTask


@dataclass(frozen=True)
class BucketSort(SymbolTask):
    """The digits in ascending order.

    Arguments: see `SymbolTask`.
    """

    before = "Sort the list of digits, smallest first.\nDigits: "

    symbols: tuple[str, ...] = tuple("01234")

    def answer(self, listed: Sequence[str]) -> str:
        """Return the digits in ascending order."""
        return " ".join(sorted(listed))
