"""Sink mass: how much of its weight a query gives to the first tokens of the text.

    S_i = Σ_{j < s} a_ij        s/n where all n keys get the same

Many models put most of their weight on the first tokens, whatever these say; a method that hides them (a window) or
moves them far away breaks such a model.

Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", arXiv:2309.17453 (four sinks).
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows


@dataclass(frozen=True)
class SinkMass(OfQueries):
    """Weight on the first tokens.

    Arguments:
        sinks: s, how many first tokens count.
    """

    unit = "share"

    sinks: int = 4

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return the mass of each row; 0 where the mask hides the first tokens."""
        return rows.weights[..., rows.inputs.keys.order[0] < self.sinks].sum(-1)
