"""How well hidden tokens are predicted, by the length of the text around them.

A text of each length has the same middle. What is hidden is decided by the token's place in its document, so that all
lengths hide the same tokens, and models of all seeds are asked for the same ones. Two things are counted:

    all     the hidden tokens of the whole text, as the article counts them
    same    those in the middle that the shortest text has: equal tokens at every length, with more and more around them

Source: Su 2021, kexue.fm/archives/8823 (the scale of attention from the invariance of entropy): accuracy of a masked
language model that was trained with 64 tokens, at 64 … 1024 tokens.
"""

from typing import Any

import numpy as np
import torch

from longspan.errors import InputError
from longspan.train.data.batch import Batch
from longspan.train.data.masked import Hiding
from longspan.train.data.texts import Texts
from longspan.train.exams.exam import ALL, Exam, Question
from longspan.train.settings import Settings

SAME = "same"
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, are spread evenly, and those that come later fall between the earlier ones."""


class HiddenTokens(Exam):
    """Hidden tokens of texts.

    Arguments:
        settings: of the run.
        texts: that were not trained on.
        hiding: how tokens are hidden.

    Errors: InputError where no text is as long as the longest test.
    """

    def __init__(self, settings: Settings, texts: Texts, hiding: Hiding) -> None:
        super().__init__(settings)
        self.texts, self.hiding = texts, hiding
        longest = max(settings.lengths)
        starts, places = texts.starts, texts.lengths - longest + 1
        self.starts, self.places = starts[places > 0], places[places > 0]
        if not len(self.places):
            raise InputError(
                f"no test text has {longest} tokens, the longest has {int(texts.lengths.max())}: give longer texts, or "
                "smaller test.lengths"
            )

    @property
    def setting(self) -> dict[str, Any]:
        """The texts of one index have one middle, as long as the shortest, and must hold the longest."""
        return {**super().setting, "shortest": min(self.settings.lengths), "longest": max(self.settings.lengths)}

    def question(self, length: int, index: int) -> Question:
        """Return a text of `length` tokens; those of one index have one middle."""
        longest, shortest = max(self.settings.lengths), min(self.settings.lengths)
        begin = self._begin(index)
        middle = begin + longest // 2
        ids = torch.from_numpy(self.texts.tokens[begin : begin + longest].astype(np.int64))
        given, chosen = self.hiding.hide(ids, np.random.default_rng(index))
        own = slice(middle - begin - length // 2, middle - begin - length // 2 + length)
        inside = torch.zeros(longest, dtype=torch.bool)
        inside[longest // 2 - shortest // 2 :][:shortest] = True
        batch = Batch(given[None, own], ids[None, own], chosen[None, own])
        return Question(batch, {ALL: batch.asked, SAME: batch.asked & inside[None, own]})

    def _begin(self, index: int) -> int:
        """The first token of the longest text of an index: spread over all texts, however many are asked."""
        place = int((index + 0.5) * GOLDEN % 1 * self.places.sum())
        which = int(np.searchsorted(self.places.cumsum(), place, side="right"))
        return int(self.starts[which] + place - self.places[:which].sum())
