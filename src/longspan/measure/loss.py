"""Loss of the same last tokens at several contexts, and loss by position.

A loss is a mean over tokens of one document, in nats. Losses of several documents are never pooled by token.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
from longspan.tasks.continuation import feed, windows

BINS = 64
"""Equal parts of the wanted length in which the loss by position is kept."""


def loss_at_context(
    reader: Reader, document: Sequence[int], context: int, tail: int, opening: Sequence[int] = ()
) -> dict[str, Any]:
    """`loss`: the mean over the document's last `tail` tokens, each seeing about `context` tokens."""
    plan = windows(len(document), context, tail)
    found = [
        token_nll(reader, reader.ids(feed(document, window, opening)), window.stop - window.scored)[0]
        for window in plan
    ]
    losses = torch.cat(found)
    return {"loss": _mean(losses), "tokens": len(losses), "fed": sum(window.stop - window.start for window in plan)}


def loss_by_position(
    reader: Reader, document: Sequence[int], trained_length: int, tail: int, opening: Sequence[int] = ()
) -> dict[str, Any]:
    """The whole document read at once.

    `loss`: of its last `tail` tokens; `short`: of the tokens within the trained length; `second_half`: of the others'
    second half, as far as it lies beyond the trained length; `positions`: means over `BINS` equal parts.
    """
    length = len(document)
    ids = reader.ids([*opening, *document[len(opening) :]])
    losses = token_nll(reader, ids)[0]  # losses[t − 1] is the loss of token t

    def between(start: int, stop: int) -> float:
        return _mean(losses[max(start, 1, len(opening)) - 1 : stop - 1])

    edges = [round(length * part / BINS) for part in range(BINS + 1)]
    return {
        "loss": between(length - tail, length),
        "short": between(1, trained_length),
        "second_half": between(max(length // 2, trained_length), length),
        "positions": [between(start, stop) for start, stop in pairwise(edges)],
        "tokens": tail,
        "fed": length,
    }


def _mean(losses: Tensor) -> float:
    return float(losses.mean())
