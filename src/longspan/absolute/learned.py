"""Learned: one vector per position; hierarchically, two of them reach the square of the trained length.

    e(p) = table[p]                                      p < L
    e(p) = a · u[⌊p / L⌋] + (1 − a) · u[p mod L]         p < L²,   u[i] = (table[i] − a · table[0]) / (1 − a)

Source: Gehring et al. 2017, arXiv:1705.03122, section 3.1; the hierarchical form: Su 2020, "Hierarchical decomposition
of positions lets BERT process long text", kexue.fm/archives/7947.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from longspan.errors import ShapeError
from longspan.slots import Weights
from longspan.slots.absolute import Absolute

ALPHA = 0.4
"""a, the weight of the coarse position in the article."""


@dataclass(frozen=True)
class Learned(Absolute):
    """A table with a row per position, read hierarchically beyond its end.

    While a model is trained, positions beyond the table are refused: give `length` as many rows as the sampler of
    positions needs.

    Arguments:
        length: L, rows of the table (left open: the trained length).
        alpha: a, the weight of the coarse position beyond the table; between 0 and 1, and not ½, where (q, t) and
            (t, q) would be one. It changes nothing below L.
        spread: the standard deviation of the rows at the start of training (left open: that of the embeddings).

    >>> table = Learned(length=4, spread=0.02).initial_weights(2)
    >>> Learned(length=4).vectors(torch.arange(16), 2, table).shape
    torch.Size([16, 2])
    """

    length: int | None = None
    alpha: float = ALPHA
    spread: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers without a meaning."""
        self.require(self.length is None or self.length >= 1, "length", "at least 1")
        self.require(0 < self.alpha < 1 and self.alpha != 0.5, "alpha", "between 0 and 1 and not 0.5")
        self.require(self.spread is None or self.spread > 0, "spread", "above 0")

    def initial_weights(self, width: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Rows of normally distributed numbers."""
        assert self.length is not None
        assert self.spread is not None
        return {"table": self.spread * torch.randn(self.length, width, generator=generator)}

    def vectors(
        self, positions: Shaped[Tensor, "*tokens"], width: int, weights: Weights, *, training: bool = False
    ) -> Float[Tensor, "*tokens width"]:
        """Rows of the table, and mixtures of two beyond it.

        Errors: ShapeError for fractions, and for a position beyond the table in training or beyond its square.
        """
        if positions.is_floating_point():
            raise ShapeError("learned positions are rows of a table, and these are fractions: use sinusoidal")
        table = weights["table"]
        if training:
            check(positions, len(table), f"give the table more rows: learned(length=…), above {len(table)}")
        return hierarchical(table, positions.long(), self.alpha)


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
    check(positions, length**2, "train a longer table")
    if not (positions >= length).any():
        return table[positions]
    base = (table - alpha * table[0]) / (1 - alpha)
    coarse, fine = positions // length, positions % length
    mixed = alpha * base[coarse] + (1 - alpha) * base[fine]
    return torch.where((coarse == 0)[..., None], table[fine], mixed)


def check(positions: Tensor, end: int, otherwise: str) -> None:
    """Refuse positions outside 0 … end − 1.

    Errors: ShapeError.
    """
    outside = positions[(positions < 0) | (positions >= end)]
    if len(outside):
        raise ShapeError(f"learned positions end at {end - 1}, got {int(outside[0])}; {otherwise}")
