"""Sort a list of numbers of up to four digits.

A model must find the next larger number anywhere in the list, again and again; one mistake makes the answer wrong.
Chance is zero for a long list.

Source: Kazemnejad et al. 2023, arXiv:2305.19466 (sort, numbers 10 … 9999).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import ListTask


@dataclass(frozen=True)
class Sort(ListTask):
    """The numbers in ascending order.

    Arguments:
        least: the smallest number.
        most: the largest number.
    """

    before = "Sort the list of numbers, smallest first.\nNumbers: "

    least: int = 10
    most: int = 9999

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require(self.most >= self.least, "most", f"at least {self.least} (least)")

    def draw(self, generator: random.Random, length: int) -> list[str]:
        """Draw so many numbers, the first ones independent of how many."""
        return [str(generator.randint(self.least, self.most)) for _ in range(length)]

    def answer(self, listed: Sequence[str]) -> str:
        """Return the numbers in ascending order."""
        return " ".join(sorted(listed, key=int))
