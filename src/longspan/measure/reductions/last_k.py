"""Last k: the loss of the same last tokens of a text, read with the last `length` tokens before and with them.

Only this protocol shows whether a longer context helps: it predicts the same tokens at every length. Whether a text was
read from its start or not does not matter to methods of relative position.

Source: Su 2023, kexue.fm/archives/9708, "loss of the last segment"; bojone/rerope, eval_loss.py.
Differs: scored tokens are cut into pieces of at most an eighth of the context, so that each sees 7/8 of it at least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.feeding import SHORTEST, feeds, tail_length
from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, pooled, require


@dataclass(frozen=True)
class LastK(Reduction):
    """Loss of the last k tokens.

    Arguments:
        k: tokens; None for as many as suit the trained length and the text.
    """

    unit = "nats per token"
    reads_all = True

    k: int | None = None

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the text's end, once for each part of the last tokens."""
        require(text, length, SHORTEST, "last_k")
        tail = self.k or tail_length(text.trained_length, len(text.ids))
        return tuple(text.piece(f.start, f.stop, f.scored) for f in feeds(len(text.ids), length, tail))

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the mean loss over the last tokens."""
        nll = pooled(found).nll
        return {"value": float(nll.mean()), "tokens": len(nll)}
