"""Attention entropy: over how many keys a query spreads its weights, as the logarithm of their number.

    H_i = −Σ_j a_ij ln a_ij        nats; ln n where all n keys get the same

With more keys in sight, equal scores spread: the entropy grows with ln n where nothing holds it.

Source: Su 2021, kexue.fm/archives/8823 (entropy invariance, and log n scaling to keep it).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows


@dataclass(frozen=True)
class AttentionEntropy(OfQueries):
    """Entropy of the weights of each query."""

    unit = "nats"

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return the entropy of each row; weights of 0 add nothing."""
        return torch.special.entr(rows.weights).sum(-1)
