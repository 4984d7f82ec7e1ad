"""Gain from far context: by how much the loss of each token falls when all of the text is there, not its near part.

    gain_t = nll_t(near) − nll_t(whole)
    key tokens: gain_t > 2 and nll_t(whole) < 2 nats

The near part is the `near` tokens before a block of `block` tokens and the block itself. Most tokens gain nothing: a
mean over all hides what a model finds far away, which the key tokens show. Here a model selects its own key tokens
("self-LongPPL"): their share says how much of the far context it uses; their loss alone, which is small by selection,
says little.

Source: Fang et al. 2024, "What is wrong with perplexity for long-context language modeling?", LongPPL,
arXiv:2410.23771; PKU-ML/LongPPL, longppl.py (near 4096, block 1024, thresholds 2 and −2).
Differs: near and block are shares of the trained length by default, because small models read less; tokens are those of
the model, not characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.reading.token_nll import TokenScores
from longspan.measure.reduction import Piece, Reduction, Text, pooled, require


@dataclass(frozen=True)
class FarGain(Reduction):
    """Gain of the tokens that have far context.

    Arguments:
        near: tokens of the near context; None for half the trained length.
        block: tokens that share a near context; None for a quarter of `near`.
        gain: nats by which a key token's loss falls at least.
        most: nats, the most that a key token's loss is with the whole text.
    """

    unit = "nats per token"

    near: int | None = None
    block: int | None = None
    gain: float = 2.0
    most: float = 2.0

    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return the text's beginning, and the near part of each block."""
        near = max(1, text.trained_length // 2) if self.near is None else self.near
        block = max(1, near // 4) if self.block is None else self.block
        require(text, length, near + 2, "far_gain")
        starts = range(near + 1, length, block)
        parts = (text.piece(start - near, min(start + block, length), start) for start in starts)
        return (text.piece(0, length, near + 1), *parts)

    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return the mean gain, the share of key tokens, and the mean loss of key tokens, None where there are none."""
        whole, near = found[0].nll, pooled(found[1:]).nll
        gains = near - whole
        key = (gains > self.gain) & (whole < self.most)
        return {
            "value": float(gains.mean()),
            "key_share": float(key.double().mean()),
            "key_loss": float(whole[key].mean()) if bool(key.any()) else None,
            "tokens": len(gains),
        }
