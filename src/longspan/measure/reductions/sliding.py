"""Sliding: windows of `length` tokens that advance by a stride; in each, the tokens that no window scored before.

Every token but those of the first window sees at least length − stride tokens. A stride of 1 is exact and takes a
reading for every token. The mean is over tokens: the first window scores more of them than the others. Windows that do
not overlap are `non_overlapping`.

Source: Press et al. 2022, ALiBi, arXiv:2108.12409, appendix B (Baevski & Auli 2018, arXiv:1809.10853).
Differs: YaRN's eval/perplexity.py takes the mean over windows, whose first one has most tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.errors import InputError
from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, pooled, require


@dataclass(frozen=True)
class Sliding(Reduction):
    """Loss in overlapping windows.

    Arguments:
        stride: tokens by which a window advances; None for an eighth of the window.
    """

    unit = "nats per token"
    reads_all = True

    stride: int | None = None

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the windows.

        Errors: InputError for a stride that skips tokens.
        """
        require(text, length, 2, "sliding")
        stride = max(1, length // 8) if self.stride is None else self.stride
        if not 1 <= stride < length:
            raise InputError(f"a stride must be 1 … {length - 1} tokens for windows of {length}, got {stride}")
        found = [text.piece(0, length)]
        for done in range(length, len(text.ids), stride):
            stop = min(done + stride, len(text.ids))
            found.append(text.piece(stop - length, stop, done))
        return tuple(found)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the mean loss over all scored tokens."""
        nll = pooled(found).nll
        return {"value": float(nll.mean()), "tokens": len(nll), "windows": len(found)}
