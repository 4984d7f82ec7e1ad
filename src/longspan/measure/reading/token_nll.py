"""Loss by token: −ln p of every token of a text given those before it.

    nll_t = −ln p(x_t | x_0 … x_{t−1})        t = 1 … n − 1        nats

A text is read in one forward pass without a cache, and logits are made in slices. What a report shows of these losses
are the reductions (`longspan.measure.reduction`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from longspan.measure.reading.reader import Reader


@dataclass(frozen=True)
class Piece:
    """What is read in one go, and which of its tokens are scored.

    Arguments:
        ids: the tokens.
        scored: index of the first scored token, at least 1.
    """

    ids: tuple[int, ...]
    scored: int = 1


@dataclass(frozen=True)
class TokenScores:
    """What a model says of the scored tokens of a piece.

    Arguments:
        nll: −ln p of each, nats.
        right: whether each is the token that the model holds most likely.
    """

    nll: Float64[Tensor, " scored"]
    right: Bool[Tensor, " scored"]


def token_nll(
    reader: Reader, ids: Int[Tensor, "rows positions"], scored: int | None = None
) -> Float64[Tensor, "rows scored"]:
    """Return the loss of each row's last `scored` tokens (by default all but the first), nats."""
    length = ids.shape[1]
    count = length - 1 if scored is None else scored
    hidden = reader.hidden(ids)[:, length - 1 - count : length - 1]
    targets = ids[:, length - count :]
    return torch.stack([reader.losses(row, target) for row, target in zip(hidden, targets, strict=True)])


def score_pieces(reader: Reader, pieces: Iterable[Piece]) -> dict[Piece, TokenScores]:
    """Return the scores of each piece; pieces of the same tokens are read once."""
    wanted: dict[tuple[int, ...], list[Piece]] = {}
    for piece in dict.fromkeys(pieces):
        wanted.setdefault(piece.ids, []).append(piece)
    found: dict[Piece, TokenScores] = {}
    for ids, same in wanted.items():
        first = min(piece.scored for piece in same)
        row = reader.ids(ids)
        nll, right = reader.scores(reader.hidden(row)[0, first - 1 : -1], row[0, first:])
        for piece in same:
            found[piece] = TokenScores(nll[piece.scored - first :], right[piece.scored - first :])
    return found
