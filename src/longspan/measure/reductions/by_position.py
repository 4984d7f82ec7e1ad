"""By position: the loss of tokens by how many come before them, in bins of 1, 2, 4, 8 … tokens.

It shows where a cliff is, and whether the loss goes on falling. A document may be harder at its end: compare methods on
the same tokens, not the bins of one method. The value is the mean over the tokens beyond the trained length, or over
all where there are none: tokens early in a text, which no context helps, are not in it.

Source: the per-position curves of Press et al. 2022, ALiBi, arXiv:2108.12409, appendix B, and of YaRN,
arXiv:2309.00071.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, require


@dataclass(frozen=True)
class ByPosition(Reduction):
    """Loss in bins of the position."""

    unit = "nats per token"

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the text's beginning."""
        require(text, length, 2, "by_position")
        return (text.piece(0, length),)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the bins, and the mean beyond the trained length."""
        nll = found[0].nll
        first, bins, start = length - len(nll), list[dict[str, Any]](), 1
        while start < length:
            stop = min(2 * start, length)
            part = nll[max(0, start - first) : max(0, stop - first)]
            if len(part):
                bins.append({"start": max(start, first), "stop": stop, "loss": float(part.mean())})
            start = stop
        beyond = nll[max(0, text.trained_length - first) :]
        return {"value": float((beyond if len(beyond) else nll).mean()), "bins": bins, "tokens": len(nll)}
