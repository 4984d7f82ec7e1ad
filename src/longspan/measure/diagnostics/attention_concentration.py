"""Attention concentration: how much of its weight a query gives to few keys.

    C_i = Σ_j a_ij²        1 where one key gets all, 1/n where all n keys get the same

1/C is the number of keys that share the weight ("participation ratio"). It is decided by the largest weights, the
entropy by the many small ones: a row may hold on to one key while the rest spreads.

Source: Bell & Dean 1970, "Atomic vibrations in vitreous silica", Discuss. Faraday Soc. 50:55 (participation ratio).
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows


@dataclass(frozen=True)
class AttentionConcentration(OfQueries):
    """Sum of the squared weights of each query."""

    unit = "share"

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return the sum of squares of each row."""
        return rows.weights.square().sum(-1)
