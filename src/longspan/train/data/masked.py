"""Some tokens of a row are hidden and predicted from all others: a masked language model.

Of the chosen tokens 80 % become the mask, 10 % another token and 10 % stay, so that a model cannot rely on seeing the
mask where it has to predict.

Source: Devlin et al. 2018, "BERT", arXiv:1810.04805, section 3.1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from longspan.train.data.batch import Batch, Reading
from longspan.train.data.rows import Rows

SHARE = 0.15
HIDDEN, REPLACED = 0.8, 0.1


@dataclass(frozen=True)
class Hiding:
    """How tokens are hidden.

    Arguments:
        mask: the id that stands for a hidden token.
        vocabulary: how many ids there are.
        share: of the tokens that are chosen.
    """

    mask: int
    vocabulary: int
    share: float = SHARE

    def hide(
        self, ids: Int64[Tensor, "*tokens"], generator: np.random.Generator, real: Bool[Tensor, "*tokens"] | None = None
    ) -> tuple[Int64[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
        """Return what the model is given, and which tokens are chosen; one is, whatever the draw.

        Arguments:
            real: the places that are no padding, which is never chosen; None where there is none.
        """
        drawn = torch.from_numpy(generator.random((3, *ids.shape)))
        first = drawn[0] if real is None else drawn[0].masked_fill(~real, 1.0)
        chosen = first < self.share
        if not chosen.any():
            chosen.view(-1)[int(first.argmin())] = True
        others = (drawn[2] * self.vocabulary).long()
        given = torch.where(chosen & (drawn[1] < HIDDEN), self.mask, ids)
        return torch.where(chosen & (drawn[1] >= 1 - REPLACED), others, given), chosen


@dataclass(frozen=True)
class Masked(Reading):
    """What a masked language model is trained on.

    Arguments:
        rows: of texts.
        hiding: how their tokens are hidden.
    """

    rows: Rows
    hiding: Hiding

    def batch(self, step: int, count: int) -> Batch:
        """Return rows of L tokens, some of them hidden."""
        drawn = self.rows.draw(step, count)
        ids = drawn.ids[:, :-1]
        given, chosen = self.hiding.hide(ids, np.random.default_rng([self.rows.seed, step, 1]))
        return Batch(given, ids, chosen, None if drawn.positions is None else drawn.positions[:, :-1])

    @property
    def packs(self) -> bool:
        """Whether some rows hold several documents."""
        return self.rows.packs

    def described(self) -> dict[str, Any]:
        """Return what is known of the texts."""
        return self.rows.described()
