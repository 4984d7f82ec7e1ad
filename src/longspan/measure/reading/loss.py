"""Loss of the same last tokens at several contexts, and loss by position.

A loss is a mean over tokens of one document, in nats. Losses of several documents are never pooled by token. Tokens of
facts that were put into the document are read and not scored.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from longspan.measure.reading.feeding import Feed, feeds
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll

BINS = 64
"""Equal parts of a text in which the loss by position is kept."""


def loss_at_context(
    reader: Reader, ids: Sequence[int], context: int, tail: int, opening: Sequence[int] = ()
) -> dict[str, Any]:
    """Return `loss`, the mean over a text's last `tail` tokens, each of which sees about `context` tokens."""
    plan = feeds(len(ids), min(context, len(ids)), tail)
    losses = torch.cat(losses_in(reader, ids, plan, opening))
    return {
        "loss": float(losses.mean()),
        "tokens": len(losses),
        "fed": sum(feed.stop - feed.start for feed in plan),
    }


def losses_in(
    reader: Reader, ids: Sequence[int], plan: Sequence[Feed], opening: Sequence[int] = ()
) -> list[Float64[Tensor, " scored"]]:
    """Read each feed by itself and return the losses of its scored tokens, nats."""
    return [token_nll(reader, reader.ids(f.ids(ids, opening)), f.stop - f.scored)[0] for f in plan]


def loss_within(reader: Reader, ids: Sequence[int], own: Sequence[bool], trained_length: int) -> dict[str, Any]:
    """Read the first `trained_length` tokens alone and return `short`, the mean loss over them."""
    some = ids[:trained_length]
    losses = token_nll(reader, reader.ids(some))[0]
    return {"short": float(losses[_scored_within(own, len(some))].mean()), "fed": len(some)}


def _scored_within(own: Sequence[bool], length: int) -> Bool[Tensor, " tokens"]:
    """Which tokens but the first are scored in a text's beginning: all of them where facts leave none of its own."""
    scored = torch.tensor(own[1:length])
    return scored if scored.any() else torch.ones_like(scored)


def loss_by_position(losses: Tensor, own: Sequence[bool], trained_length: int, tail: int) -> dict[str, Any]:
    """Reduce the losses of a whole text, token by token, to means.

    Arguments:
        losses: of every token but the first, nats, shape (tokens - 1).
        own: whether each token is scored.
        trained_length, tail: tokens.

    Returns `loss`: of the last `tail` tokens; `short`: of the tokens within the trained length, of facts too where
    there are no others; `second_half`: of the second half, as far as it lies beyond the trained length; `positions`:
    means over `BINS` equal parts, None for a part without a scored token; `tokens`: the tail.
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
        "short": float(losses[: min(trained_length, length) - 1][_scored_within(own, trained_length)].mean()),
        "second_half": between(max(length // 2, trained_length), length),
        "positions": [between(start, stop) for start, stop in pairwise(edges)],
        "tokens": tail,
    }
