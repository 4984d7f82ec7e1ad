"""Common words: which ten words of a numbered list occur most often.

A model must count over its whole prompt; no sentence holds the answer. The score is the share of the ten words named.
Chance is about 10 in the number of different words for a model that names any ten of them.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654; NVIDIA/RULER, scripts/data/synthetic/common_words_extraction.py.
Differs: words come from the bundled documents, pairs of nouns after those; no word contains a common one (the score
would find "king" in "kings"); the last word of the list may occur fewer times, so that prompts come within 3 % of the
wanted length.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from longspan.prompts.example import Draft
from longspan.prompts.filler import Amount
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.prompts.task import PromptTask, Request
from longspan.prompts.words import countable

BEFORE = (
    "Below is a numbered list of words. In these words, some appear more often than others. "
    "Memorize the ones that appear most often.\n"
)
QUESTION = (
    "\nQuestion: What are the {common} most common words in the above list?"
    " Answer: The top {common} words that appear most often in the list are:"
)
FULL = 4096
"""Below this length words occur less often, as in RULER."""


@dataclass(frozen=True)
class Repeats:
    """How often words occur.

    Arguments:
        common: how often each common word occurs.
        other: how often each other word occurs.
        shown: different words of the solved example that comes first.
        shown_common: how often each common word occurs there.
        shown_other: how often each other word occurs there.
    """

    common: int
    other: int
    shown: int
    shown_common: int
    shown_other: int


@dataclass(frozen=True)
class CommonWords(PromptTask):
    """RULER's cwe.

    Arguments:
        common: how many words are common, 1 … 1000.
        short: how often words occur in prompts of fewer than 4096 tokens.
        full: how often they occur in others.
    """

    generated = 120

    common: int = 10
    short: Repeats = Repeats(6, 1, 20, 3, 1)
    full: Repeats = Repeats(30, 3, 40, 10, 3)

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, 1000, "common")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """List words behind a solved example; `amount.units` other words, of the last one `amount.words` more."""
        if amount.characters or amount.words > (repeats := self._repeats(request)).other:
            return None
        generator = request.generator()
        words = countable(random.Random(generator.getrandbits(64)), self.common)
        order = random.Random(generator.getrandbits(64))
        example, solution = self._listed(
            words, repeats.shown_common, [repeats.shown_other] * (repeats.shown - self.common), order
        )
        words = countable(random.Random(generator.getrandbits(64)), self.common)
        others = [repeats.other] * amount.units + [amount.words] * (amount.words > 0)
        context, answers = self._listed(words, repeats.common, others, order)
        question = QUESTION.format(common=self.common)
        solved = " " + "".join(_numbered(solution)).rstrip()
        before = Prompt(BEFORE, tuple(example), question).text + solved + "\n" + BEFORE
        return Draft(Prompt(before, tuple(context), question), tuple(answers), AllOf())

    def _repeats(self, request: Request) -> Repeats:
        return self.short if request.length < FULL else self.full

    def _listed(
        self, words: Iterator[str], common: int, others: Sequence[int], order: random.Random
    ) -> tuple[list[str], list[str]]:
        """Return a numbered list of words, and those that occur most often."""
        answers = list(islice(words, self.common))
        found = answers * common + [word for word, times in zip(words, others, strict=False) for _ in range(times)]
        order.shuffle(found)
        return _numbered(found), answers


def _numbered(words: Sequence[str]) -> list[str]:
    return [f"{i + 1}. {word} " for i, word in enumerate(words)]
