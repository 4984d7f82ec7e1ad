"""Numbers at 11 depths of the user's text, each asked for by itself: how well a model finds what is where.

All needles are hidden in one text, so that it is read once and each question is asked after it: the grid costs little
more than one reading of the text instead of 11. So every question has 10 needles of other keys beside its own, as in
RULER's niah_multikey tasks; with `at_once=1` each needle has a text without others, as in the first needle tests, and
only the text before it is shared, which costs 6 readings.
Chance is 1 in `at_once` for a model that finds needles and ignores their keys, else zero.

Source: Kamradt 2023, github.com/gkamradt/LLMTest_NeedleInAHaystack (the grid of depths); Hsieh et al. 2024, RULER,
arXiv:2404.06654 (needles, prompt and score; see `longspan.prompts.needles` for what differs).
Differs: several needles share a text; depths are equally spaced in characters and moved to the nearest end of a
sentence; nobody judges, a number is found or not; answers have 16 tokens, in RULER 128.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from longspan.prompts.example import Draft, PromptGroup
from longspan.prompts.filler import Amount
from longspan.prompts.needles import Document, Haystack, Kind, Numbers, Words, hiding
from longspan.prompts.scoring import AllOf
from longspan.prompts.task import counted, fitted
from longspan.task import Material, Task

ROOM = 16
"""Tokens to leave for each answer, at least: the prompt ends where the number begins."""


@dataclass(frozen=True)
class NiahDepths(Task[PromptGroup]):
    """One needle per depth.

    Arguments:
        depths: how many, 1 … 100; the first needle begins the text, the last one ends it.
        at_once: how many needles share a text, at most; at least 1.
        key: what keys are.
        value: what values are.
        haystack: what surrounds them.
    """

    depths: int = 11
    at_once: int = 11
    key: Kind = Words()
    value: Kind = Numbers()
    haystack: Haystack = Document()

    def __post_init__(self) -> None:
        self.require_between(1, 100, "depths")
        self.require(self.at_once >= 1, "at_once", "at least 1")

    def example(self, material: Material, length: int, index: str) -> PromptGroup:
        """Make the prompts, the longest of which is 0.97 · length … length tokens long with the room for its answer.

        Errors: InputError where no amount of text makes it so long, or the text is too short.
        """
        seed = self.seed(length, index)

        def made(amount: Amount) -> list[tuple[Draft, tuple[int, ...], int]]:
            drafts = self._drafts(seed, material.text, amount)
            encoded = [(draft, (*material.opening, *material.encode(draft.prompt.text))) for draft in drafts]
            return [(*each, max(ROOM, len(material.encode(" " + each[0].answers[0])))) for each in encoded]

        def size(amount: Amount) -> float:
            return max((len(ids) + room for _, ids, room in made(amount)), default=float("inf"))

        found = made(fitted(size, length, seed))
        return PromptGroup(tuple(counted(material, seed, *each) for each in found), self._depths())

    def _depths(self) -> tuple[float, ...]:
        return tuple(i / max(1, self.depths - 1) for i in range(self.depths))

    def _drafts(self, seed: str, text: str, amount: Amount) -> list[Draft]:
        """A prompt for each depth; none where there is not so much text. Only the text depends on the amount."""
        generator = random.Random(seed)
        keys = self.key.different(random.Random(generator.getrandbits(64)))
        values = self.value.different(random.Random(generator.getrandbits(64)))
        hidden = list(islice(zip(keys, values, strict=False), self.depths))
        pieces = self.haystack.pieces(text, amount, iter(()))
        if pieces is None:
            return []
        drafts = dict[int, Draft]()
        texts = -(-self.depths // self.at_once)
        for first in range(texts):  # dealt out, so that each text has needles at depths all over it
            dealt = range(first, self.depths, texts)
            needles, where = [hidden[i] for i in dealt], [_spot(pieces, self._depths()[i]) for i in dealt]
            for i in dealt:
                asked, after = hidden[i], self.haystack.after
                prompt = hiding(pieces, after, needles, where, asked[:1], self.value.plural)
                drafts[i] = Draft(prompt, asked[1:], AllOf())
        return [drafts[i] for i in range(self.depths)]


def _spot(pieces: Sequence[str], depth: float) -> float:
    """The share of the pieces before the end of a piece that is nearest to a share of the text."""
    ends = [0, *accumulate(map(len, pieces))]
    nearest = min(range(len(ends)), key=lambda i: abs(ends[i] - depth * ends[-1]))
    return (nearest + 0.5) / len(pieces) if nearest < len(pieces) else 1.0
