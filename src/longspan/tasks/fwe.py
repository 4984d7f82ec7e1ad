"""Frequent words: which three coded words occur most often, when frequencies fall as in language.

The word of rank k occurs n · k^−α / ζ(α) times; dots take rank 1 and do not count. A model must count over its whole
prompt; ranks 4 and 5 are close, so that a part of it does not suffice. The score is the share of the three words named.
Chance is 3 in the number of different words for a model that names any three.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654; NVIDIA/RULER, scripts/data/synthetic/freq_words_extraction.py.
Differs: the order of words is drawn for each example; rank 4 always occurs more often than rank 5; more dots fill up to
within 3 % of the wanted length, which has the room for the answer in it.
"""

import string
from dataclasses import dataclass
from itertools import count

from scipy.special import zeta

from longspan.errors import InputError
from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.prompts.task import PromptTask, Request

BEFORE = (
    "Read the following coded text and track the frequency of each coded word. "
    "Find the three most frequently appeared coded words. "
)
QUESTION = (
    "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. "
    "What are the three most frequently appeared words in the above coded text?"
    " Answer: According to the coded text above, the three most frequently appeared words are:"
)
DOTS = "..."
ASKED = 3
FLATTEST, STEEPEST = 1.01, 8
"""The smallest and the largest alpha; there is no distribution at 1, and ranks 4 and 5 hardly occur beyond 8."""
TOKENS_PER_WORD = 50
"""There is one coded word for so many tokens of the wanted length."""


@dataclass(frozen=True)
class FrequentWords(PromptTask):
    """RULER's fwe.

    Arguments:
        alpha: how fast frequencies fall with the rank, 1.01 … 8.
        letters: letters of a coded word, 1 … 100.
    """

    generated = 50

    alpha: float = 2.0
    letters: int = 6

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(FLATTEST, STEEPEST, "alpha")
        self.require_between(1, 100, "letters")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Write coded words, and dots behind them; n is `amount.units`, or the next that parts ranks 4 and 5.

        Errors: InputError where there are fewer words of so many letters than the length asks for.
        """
        generator = request.generator()
        kinds = max(ASKED + 2, request.length // TOKENS_PER_WORD)
        if kinds > len(string.ascii_lowercase) ** self.letters:
            raise InputError(f"{request.seed}: there are no {kinds} words of {self.letters} letters: give more letters")
        different = {DOTS: None}
        while len(different) < kinds:
            different["".join(generator.choices(string.ascii_lowercase, k=self.letters))] = None
        words = list(different)
        n = next(n for n in count(amount.units) if self._separates(n))
        found = [word for rank, word in enumerate(words, 1) for _ in range(self._times(rank, n))]
        generator.shuffle(found)
        context = [word + " " for word in found] + [DOTS + " "] * amount.words + ["."] * amount.characters
        return Draft(Prompt(BEFORE, tuple(context), QUESTION), tuple(words[1 : 1 + ASKED]), AllOf())

    def _times(self, rank: int, n: int) -> int:
        return int(n * rank**-self.alpha / float(zeta(self.alpha)))

    def _separates(self, n: int) -> bool:
        """Whether the last rank that is asked for occurs more often than the next one."""
        return self._times(ASKED + 1, n) > self._times(ASKED + 2, n)
