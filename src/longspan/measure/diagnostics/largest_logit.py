"""Largest logit: the highest score that a query gives to a key.

    M_i = max_j score(i, j)

Scores that no training text produced, above all others, decide a row alone; a method that rescales or moves rotations
shows here whether its scores stay in the range that training knew.

Source: Dehghani et al. 2023, "Scaling Vision Transformers to 22 Billion Parameters", arXiv:2302.05442 (growth of
attention logits).
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows


@dataclass(frozen=True)
class LargestLogit(OfQueries):
    """Largest score of each query."""

    unit = "logit"

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return the maximum of each row."""
        return rows.scores.amax(-1)
