"""Opinions: does a text of invented words say more good than bad, letter by letter?

    yan ruto lo benahi lumer. nay wike daso tavol. yan …

Every sentence ends in an opinion: a good word, or a bad one, which is a good one written backwards. It means the
opposite where the sentence begins with `nay`. Equal letters in another order are another opinion, so that counting
letters says nothing; up to sixteen words lie between `nay` and what it denies. Chance is 1 in 2.

Source: a stand-in of our own for classifying text byte by byte, as Tay et al. 2020, Long Range Arena, arXiv:2011.04006,
do with film reviews, which cannot be drawn. It is no task of that benchmark, and scores cannot be compared with it.
"""

import random
from dataclasses import dataclass
from string import ascii_lowercase

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import OnlyOne
from longspan.prompts.task import PromptTask, Request

GOOD = ("lumer", "tavol", "nidep", "borsa", "kefin", "rapol", "sumed", "dolin")
"""Good words; backwards they are bad ones."""
PLAIN, DENYING = "yan", "nay"
"""How a sentence begins."""
BETWEEN = (1, 16)
"""Words between the beginning of a sentence and its opinion."""
LENGTHS = (2, 6)
"""Letters of other words."""
BEFORE = "A text of opinions, some of them denied. Is it good or bad on the whole?\nText: "
QUESTION = "\nAnswer:"
ANSWERS = ("bad", "good")


@dataclass(frozen=True)
class Opinions(PromptTask):
    """An odd number of sentences; the answer is what most of them mean."""

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Write `2 · amount.units + 1` sentences, and `amount.words` dots and spaces after them."""
        if amount.characters:
            return None
        generator = request.generator()
        drawn = [sentence(generator) for _ in range(2 * amount.units + 1)]
        letters = " ".join(text for text, _ in drawn) + (" ." * amount.words)[: amount.words]
        right = ANSWERS[sum(good for _, good in drawn) > amount.units]
        return Draft(Prompt(BEFORE, tuple(letters), QUESTION), (right,), OnlyOne(ANSWERS), ANSWERS)


def sentence(generator: random.Random) -> tuple[str, bool]:
    """Draw a sentence; whether it means something good."""
    denied, bad, good = generator.randrange(2), generator.randrange(2), generator.choice(GOOD)
    between = [invented(generator) for _ in range(generator.randint(*BETWEEN))]
    said = [DENYING if denied else PLAIN, *between, good[::-1] if bad else good]
    return " ".join(said) + ".", denied == bad


def invented(generator: random.Random) -> str:
    """Draw a word that has no meaning."""
    while True:
        word = "".join(generator.choice(ascii_lowercase) for _ in range(generator.randint(*LENGTHS)))
        if word not in (PLAIN, DENYING, *GOOD) and word[::-1] not in GOOD:
            return word
