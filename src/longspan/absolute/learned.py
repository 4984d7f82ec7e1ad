"""Learned: one vector per position; hierarchically, two of them reach the square of the trained length.

    e(p) = table[p]                                      p < L
    e(p) = a · u[⌊p / L⌋] + (1 − a) · u[p mod L]         p < L²,   u[i] = (table[i] − a · table[0]) / (1 − a)

Source: Gehring et al. 2017, arXiv:1705.03122, section 3.1; the hierarchical form: Su 2020, "Hierarchical decomposition
of positions lets BERT process long text", kexue.fm/archives/7947.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from longspan.errors import ShapeError

ALPHA = 0.4
"""a, the weight of the coarse position in the article."""


class Learned(nn.Module):
    """A table of positions, refused beyond its end.

    Arguments:
        trained_length: L, rows of the table.
        dim: D, the width of the model.

    >>> Learned(4, 2)(torch.arange(3)).shape
    torch.Size([3, 2])

    Errors: ShapeError for a position outside 0 … L − 1.
    """

    def __init__(self, trained_length: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(trained_length, dim))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, positions: Int64[Tensor, "*tokens"]) -> Float[Tensor, "*tokens dim"]:
        """What is added to the embeddings at `positions`."""
        _check(positions, len(self.table), "hierarchical(table, positions) reaches the square of it")
        return self.table[positions]


def hierarchical(
    table: Float[Tensor, "length dim"], positions: Int64[Tensor, "*tokens"], alpha: float = ALPHA
) -> Float[Tensor, "*tokens dim"]:
    """A trained table read at positions up to L²: its own rows below L, to the bit, and mixtures of two beyond.

    Arguments:
        alpha: a, the weight of the coarse position; between 0 and 1, and not ½, where (q, t) and (t, q) would be one.

    >>> table = torch.eye(2)
    >>> hierarchical(table, torch.arange(4)).shape
    torch.Size([4, 2])

    Errors: ShapeError for a position outside 0 … L² − 1 or a weight out of range.
    """
    if not 0 < alpha < 1 or alpha == 0.5:
        raise ShapeError(f"hierarchical positions: alpha must lie between 0 and 1 and not be 0.5, got {alpha}")
    length = len(table)
    _check(positions, length**2, "train a longer table")
    base = (table - alpha * table[0]) / (1 - alpha)
    coarse, fine = positions // length, positions % length
    mixed = alpha * base[coarse] + (1 - alpha) * base[fine]
    return torch.where((coarse == 0)[..., None], table[fine], mixed)


def _check(positions: Tensor, end: int, otherwise: str) -> None:
    outside = positions[(positions < 0) | (positions >= end)]
    if len(outside):
        raise ShapeError(f"learned positions end at {end - 1}, got {int(outside[0])}; {otherwise}")
