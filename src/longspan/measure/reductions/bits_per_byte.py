"""Bits per byte: the information of a text by its UTF-8 bytes, which compares models of different tokenizers.

    BPB = Σ_t nll_t / (ln 2 · bytes)        bits per byte

Source: Gao et al. 2020, The Pile, arXiv:2101.00027, section 3.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from longspan.errors import InputError
from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, require


@dataclass(frozen=True)
class BitsPerByte(Reduction):
    """Bits per byte of all tokens that something predicts."""

    unit = "bits per byte"

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the text's beginning."""
        require(text, length, 2, "bits_per_byte")
        return (text.piece(0, length),)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the bits by the bytes of the scored tokens.

        Errors: InputError where the tokens have no bytes.
        """
        nll = found[0].nll
        size = text.size(length - len(nll), length)
        if size < 1:
            raise InputError("bits_per_byte: the text's tokens decode to no bytes; give another text")
        return {"value": float(nll.sum()) / (log(2) * size), "bytes": size, "tokens": len(nll)}
