"""Namesakes: do two texts of invented words have a word in common, letter by letter?

    ruton benah lumer | wikes nebha lumer

Where they have none, the second text has a word of the first backwards, so that both kinds of pairs have the same
letters. A model must keep every word of the first text until it has read the second one. Chance is 1 in 2.

Source: a stand-in of our own for comparing pairs of documents byte by byte, as Tay et al. 2020, Long Range Arena,
arXiv:2011.04006, do with papers that cite each other, which cannot be drawn. It is no task of that benchmark, and
scores cannot be compared with it.
"""

import random
from dataclasses import dataclass
from string import ascii_lowercase

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request

LETTERS = 5
"""Of a word."""
BETWEEN = " | "
BEFORE = "Two texts. Do they have a word in common?\nTexts: "
QUESTION = "\nAnswer:"
ANSWERS = ("no", "yes")


@dataclass(frozen=True)
class Namesakes(PromptTask):
    """Two texts of equal length."""

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Write `amount.units + 1` words in each text, and `amount.words` dots and spaces after them."""
        if amount.characters:
            return None
        generator = request.generator()
        common, first_place, second_place = generator.randrange(2), generator.random(), generator.random()
        of_first, of_second = (random.Random(generator.getrandbits(64)) for _ in range(2))
        count, used = amount.units + 1, set[str]()
        first = [_word(of_first, used) for _ in range(count)]
        second = [_word(of_second, used) for _ in range(count)]
        shared = first[int(first_place * count)]
        second[int(second_place * count)] = shared if common else shared[::-1]
        letters = " ".join(first) + BETWEEN + " ".join(second) + (" ." * amount.words)[: amount.words]
        return Draft(Prompt(BEFORE, tuple(letters), QUESTION), (ANSWERS[common],), OnlyOne(ANSWERS), ANSWERS)


def _word(generator: random.Random, used: set[str]) -> str:
    """Draw a word that neither it nor backwards is in use."""
    while True:
        word = "".join(generator.choice(ascii_lowercase) for _ in range(LETTERS))
        if word != word[::-1] and word not in used:
            used |= {word, word[::-1]}
            return word
