"""Does a zero occur among the first k symbols of a list?

There is one zero among them or none; about half of the symbols behind them are zeros, which says nothing. So a model
must find the first k symbols and look at all of them; one that sees its last tokens only is at chance, however low its
loss.
Chance is 1 in 2.

Source: Su 2023, kexue.fm/archives/9431 (does a 0 occur among the first 100).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from longspan.prompts.symbols import BITS, SymbolTask


@dataclass(frozen=True)
class Occurs(SymbolTask):
    """Whether a zero is among the first symbols.

    Arguments:
        first: k, how many symbols count, 1 … 100,000.
    """

    before = "Does 0 occur among the first {task.first} bits of the list?\nBits: "
    choices = ("yes", "no")

    symbols: tuple[str, ...] = BITS
    first: int = 100

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 10**5, "first")

    def draw(self, generator: random.Random, length: int) -> list[str]:
        """Draw the first symbols, with one zero or none among them, and `length` more."""
        place = generator.randrange(self.first) if generator.random() < 0.5 else None
        return ["0" if i == place else "1" for i in range(self.first)] + super().draw(generator, length)

    def answer(self, listed: Sequence[str]) -> str:
        """Return yes or no."""
        return self.choices["0" not in listed[: self.first]]
