"""Effective rank: how many independent ways of looking back the last queries of a text have.

    p_k = σ_k / Σ σ        rank = exp(−Σ p_k ln p_k)        σ the singular values of the matrix of weights

The matrix holds the weights of the last queries over all keys. It is 1 where all of them look at the same, and as many
as there are queries where each looks at a key of its own. A low rank means that later layers are given little that
differs from token to token.

Source: Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO; asked of attention
by Su 2023, kexue.fm/archives/9529 (a causal softmax has full rank, a low-rank one has less to say).
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.measure.diagnostic import Diagnostic, Subject
from longspan.measure.watching import Rows, watch


@dataclass(frozen=True)
class EffectiveRank(Diagnostic):
    """Effective rank of the weights of the last queries.

    Arguments:
        queries: how many; at most as many as the text has.
    """

    queries: int = 128

    unit = "queries"

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return the mean over layers and heads, and that of each layer over its heads."""
        collected = _Collected(len(subject.ids) - min(self.queries, len(subject.ids)))
        watch(subject.reader, subject.method, subject.ids, collected.visit)
        layers = {
            str(layer): float(effective_rank(torch.cat(collected.rows[layer], 1)).mean())
            for layer in sorted(collected.rows)
        }
        return {"value": sum(layers.values()) / len(layers), "layers": layers}


@dataclass(frozen=True, eq=False)
class _Collected:
    """The weights of the queries from `first` on, by layer."""

    first: int
    rows: dict[int, list[Tensor]] = field(default_factory=dict)

    def visit(self, rows: Rows) -> None:
        """Keep the rows that are asked for."""
        wanted = torch.tensor([order >= self.first for order in rows.order])
        if wanted.any():
            self.rows.setdefault(rows.layer, []).append(rows.weights[:, wanted.to(rows.weights.device)].double())


def effective_rank(matrix: Float[Tensor, "*batch rows columns"]) -> Float[Tensor, "*batch"]:
    """Return e to the entropy of the singular values, which are taken as shares of their sum."""
    values = torch.linalg.svdvals(matrix)
    return torch.special.entr(values / values.sum(-1, keepdim=True)).sum(-1).exp()
