"""Loss of the same last tokens at several contexts, and loss by position.

A loss is a mean over tokens of one document, in nats. Losses of several documents are never pooled by token. Tokens of
facts that were put into the document are read and not scored.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
from longspan.tasks.continuation import Window, feed, windows

BINS = 64
"""Equal parts of a text in which the loss by position is kept."""


def loss_at_context(
    reader: Reader, ids: Sequence[int], context: int, tail: int, opening: Sequence[int] = ()
) -> dict[str, Any]:
    """`loss`: the mean over the text's last `tail` tokens, each seeing about `context` tokens."""
    plan = windows(len(ids), min(context, len(ids)), tail)
    losses = torch.cat(losses_in(reader, ids, plan, opening))
    return {
        "loss": float(losses.mean()),
        "tokens": len(losses),
        "fed": sum(window.stop - window.start for window in plan),
    }


def losses_in(
    reader: Reader, ids: Sequence[int], plan: Sequence[Window], opening: Sequence[int] = ()
) -> list[Float64[Tensor, " scored"]]:
    """The losses of the scored tokens of each window, which is read by itself."""
    return [token_nll(reader, reader.ids(feed(ids, w, opening)), w.stop - w.scored)[0] for w in plan]


def loss_within(reader: Reader, ids: Sequence[int], own: Sequence[bool], trained_length: int) -> dict[str, Any]:
    """`short`: the mean over the tokens within the trained length, which alone are fed."""
    some = ids[:trained_length]
    losses = token_nll(reader, reader.ids(some))[0]
    return {"short": float(losses[torch.tensor(own[1 : len(some)])].mean()), "fed": len(some)}


def loss_by_position(losses: Tensor, own: Sequence[bool], trained_length: int, tail: int) -> dict[str, Any]:
    """From the losses of a whole text, token by token.

    Arguments:
        losses: of every token but the first, nats, shape (tokens - 1).
        own: of every token, whether it is scored.
        trained_length, tail: tokens.

    `loss`: of the last `tail` tokens; `short`: of the tokens within the trained length; `second_half`: of the second
    half, as far as it lies beyond the trained length; `positions`: means over `BINS` equal parts, None for a part
    without a scored token.
    """
    length = len(own)
    scored = torch.tensor(own[1:])

    def between(start: int, stop: int) -> float | None:
        part = slice(max(start, 1) - 1, stop - 1)
        chosen = losses[part][scored[part]]
        return float(chosen.mean()) if len(chosen) else None

    edges = [round(length * part / BINS) for part in range(BINS + 1)]
    return {
        "loss": between(length - tail, length),
        "short": between(0, trained_length),
        "second_half": between(max(length // 2, trained_length), length),
        "positions": [between(start, stop) for start, stop in pairwise(edges)],
        "tokens": tail,
    }
