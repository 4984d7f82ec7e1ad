"""Next-token accuracy: how often the most likely token is the right one, over all tokens and over the last ones.

Source: Su 2023, kexue.fm/archives/9603 and later, whose tables hold accuracies; they do not say which positions
count, so that both are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.feeding import tail_length
from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, require


@dataclass(frozen=True)
class Accuracy(Reduction):
    """Share of tokens that are predicted.

    Arguments:
        k: how many last tokens `last` is about; None for as many as suit the trained length and the length read.
    """

    unit = "share of tokens"

    k: int | None = None

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the text's beginning."""
        require(text, length, 2, "accuracy")
        return (text.piece(0, length),)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the share of all tokens, and that of the last ones."""
        right = found[0].right.double() + 0.0 * found[0].nll  # NaN stays NaN: its most likely token is none
        tail = min(len(right), self.k or tail_length(text.trained_length, length))
        return {"value": float(right.mean()), "last": float(right[-tail:].mean()), "k": tail, "tokens": len(right)}
