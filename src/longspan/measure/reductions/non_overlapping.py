"""Non-overlapping: a text is cut into blocks of `length` tokens, and each block is read by itself.

Longer blocks have a lower loss even where far context is ignored, because fewer tokens are early in a block: 100 early
tokens are 10 % of a block of 1000 and 5 % of one of 2000 (the "early token curse"). It is here to reproduce published
numbers, and to show the difference to `sliding`. What is left over after the last whole block is not read.

Source: Press et al. 2022, ALiBi, arXiv:2108.12409, appendix B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, pooled, require


@dataclass(frozen=True)
class NonOverlapping(Reduction):
    """Loss in blocks; the first token of a block, which nothing predicts, is not scored."""

    unit = "nats per token"
    reads_all = True

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the whole blocks."""
        require(text, length, 2, "non_overlapping")
        return tuple(text.piece(stop - length, stop) for stop in range(length, len(text.ids) + 1, length))

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the mean loss over all blocks' tokens."""
        nll = pooled(found).nll
        return {"value": float(nll.mean()), "tokens": len(nll), "blocks": len(found)}
