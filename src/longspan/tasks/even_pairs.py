"""Is the number of unequal neighbors in a list of two letters even?

It is exactly when the first letter equals the last one: a model that finds this shortcut needs two letters only, the
two that are farthest apart.
Chance is 1 in 2.

Source: Deletang et al. 2022, arXiv:2207.02098, and Ruoss et al. 2023, arXiv:2305.16843 (even pairs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from longspan.prompts.symbols import SymbolTask


@dataclass(frozen=True)
class EvenPairs(SymbolTask):
    """Whether changes between neighbors are even in number.

    Arguments: see `SymbolTask`.
    """

    before = "Count how often two neighbors in the list differ. Is that number even or odd?\nList: "
    choices = ("even", "odd")
    shortest = 2

    symbols: tuple[str, ...] = ("a", "b")

    def answer(self, listed: Sequence[str]) -> str:
        """Return even or odd."""
        return self.choices[sum(left != right for left, right in pairwise(listed)) % 2]
