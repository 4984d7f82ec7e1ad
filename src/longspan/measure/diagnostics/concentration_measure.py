"""Concentration measure: how evenly a query's weights are spread over the keys that it sees, whatever their number.

    S_i = ‖a_i‖₁ / (√n ‖a_i‖₂)        1 where all n keys get the same, 1/√n where one gets all

Attention that keeps its focus has S fall like 1/√n as the text grows; attention that dilutes keeps S near 1.

Source: Su 2023, kexue.fm/archives/9889; closed forms are in `longspan.measure.statistics.concentration`.
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.measure.diagnostic import OfQueries, Subject
from longspan.measure.watching import Rows


@dataclass(frozen=True)
class ConcentrationMeasure(OfQueries):
    """S of the weights of each query over the keys that it sees."""

    unit = "ratio"

    def of(self, rows: Rows, subject: Subject) -> Tensor:
        """Return S of each row."""
        weights, seen = rows.weights, rows.exists.sum(-1)
        return weights.sum(-1) / (seen.sqrt() * weights.norm(dim=-1))
