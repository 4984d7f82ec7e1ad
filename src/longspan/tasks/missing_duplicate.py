"""A list of bits that is written twice, with one bit left out: which?

A model must find the gap and look at the same place of the other half, half the list away.
Chance is 1 in 2.

Source: Deletang et al. 2022, arXiv:2207.02098, and Ruoss et al. 2023, arXiv:2305.16843 (missing duplicate string).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import BITS, SymbolTask

GAP = "_"


@dataclass(frozen=True)
class MissingDuplicate(SymbolTask):
    """The bit that is left out.

    Arguments: see `SymbolTask`.
    """

    before = "A list of bits is written twice. One bit is replaced by _. Which bit is it?\nBits: "
    choices = BITS

    symbols: tuple[str, ...] = BITS

    def draw(self, generator: random.Random, length: int) -> list[str]:
        """Draw the bits twice, and the index of the gap behind them."""
        where = generator.random()
        once = super().draw(generator, length)
        return [*once, *once, str(int(where * 2 * length))]

    def shown(self, listed: Sequence[str]) -> Sequence[str]:
        """Return the bits with the gap."""
        *bits, gap = listed
        return [GAP if i == int(gap) else bit for i, bit in enumerate(bits)]

    def answer(self, listed: Sequence[str]) -> str:
        """Return the bit at the gap."""
        *bits, gap = listed
        return bits[int(gap)]
