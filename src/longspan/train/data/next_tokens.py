"""Every token of a row is predicted from those before it."""

from dataclasses import dataclass
from typing import Any

import torch

from longspan.train.data.batch import Batch, Reading
from longspan.train.data.rows import Rows


@dataclass(frozen=True)
class NextTokens(Reading):
    """What a language model is trained on.

    Arguments:
        rows: of texts.
    """

    rows: Rows

    def batch(self, step: int, count: int) -> Batch:
        """Return rows of L tokens; the first token of a document follows from nothing and is not asked for."""
        drawn = self.rows.draw(step, count)
        targets, positions = drawn.ids[:, 1:], drawn.positions
        if positions is None:
            return Batch(drawn.ids[:, :-1], targets, torch.ones_like(targets, dtype=torch.bool))
        return Batch(drawn.ids[:, :-1], targets, positions[:, 1:] > 0, positions[:, :-1])

    @property
    def packs(self) -> bool:
        """Whether some rows hold several documents."""
        return self.rows.packs

    def described(self) -> dict[str, Any]:
        """Return what is known of the texts."""
        return self.rows.described()
