"""Su's triple: accuracy at the trained length, on a text of `length` that repeats, and on one that does not.

A text of the trained length that is repeated up to `length` can be copied: a model that reads far predicts it nearly
always. So a good method raises the repeated number much and the other one a little; a model that sees its last tokens
only gains from neither beyond the trained length.

Source: Su 2023, kexue.fm/archives/9603, 9706, 9708 and 9859: 512 / 4096 repeated / 4096 not repeated.
Differs: the first half of a trained length is repeated, so that its second copy lies within the trained length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.feeding import tail_length
from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, require


@dataclass(frozen=True)
class Repetition(Reduction):
    """Accuracy over all tokens and over the last ones, three times.

    Arguments:
        period: tokens that repeat; None for half the trained length.
        k: how many last tokens `last` is about; None for as many as suit the trained length and the length read.
    """

    unit = "share of tokens"

    period: int | None = None
    k: int | None = None

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the first trained-length tokens, the repeated text, and the text itself."""
        require(text, length, 2, "repetition")
        period = max(2, text.trained_length // 2) if self.period is None else self.period
        some = text.ids[:period]
        repeated = Text((some * -(-length // len(some)))[:length], text.trained_length, text.decode, text.opening)
        short = min(text.trained_length, length)
        return text.piece(0, short), repeated.piece(0, length), text.piece(0, length)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the three shares; `value` is that of the repeated text."""
        names = ("short", "repeated", "not_repeated")
        shares = {name: self._shares(text, scores) for name, scores in zip(names, found, strict=True)}
        return {"value": shares["repeated"]["all"], **shares}

    def _shares(self, text: Text, scores: TokenScores) -> dict[str, float]:
        right = scores.right.double() + 0.0 * scores.nll  # NaN stays NaN: its most likely token is none
        tail = min(len(right), self.k or tail_length(text.trained_length, len(right) + 1))
        return {"all": float(right.mean()), "last": float(right[-tail:].mean())}
