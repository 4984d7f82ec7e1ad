"""Reading: one pass over a text with facts in it gives the loss of every token and the answers to every question.

A long text costs as much as all that is asked of it afterwards is worth: it is read once, into a cache.
"""

from collections.abc import Sequence
from typing import Any

import torch

from longspan.measure.loss import loss_by_position, losses_in
from longspan.measure.reader import Reader
from longspan.measure.retrieval import answers
from longspan.tasks.continuation import feed, windows
from longspan.tasks.retrieval import Haystack, truncated


def reading(reader: Reader, text: Haystack, trained_length: int, tail: int) -> dict[str, Any]:
    """What `loss_by_position` and `answers` say of a text, and how many tokens were `fed`."""
    ids = reader.ids(text.ids)
    hidden, cache = reader.read(ids)
    losses = reader.losses(hidden[0, :-1], ids[0, 1:])
    found = loss_by_position(losses, text.own, trained_length, tail)
    return {**found, **answers(reader, text, cache), "fed": len(text.ids)}


def truncation(reader: Reader, text: Haystack, read: int, tail: int, opening: Sequence[int] = ()) -> dict[str, Any]:
    """The same when only the last `read` tokens are fed: what `loss_at_context` and `answers` say.

    The last window serves both. Questions are asked before its last tokens, the longest with its answer being `read`
    tokens then; no fact is lost by that, because none stands among the last `tail` tokens.
    """
    *before, last = windows(len(text.ids), min(read, len(text.ids)), tail)
    found = losses_in(reader, text.ids, before, opening)
    ids, room = reader.ids(feed(text.ids, last, opening)), text.room
    if room <= tail:
        hidden, cache = reader.read(ids[:, :-room])
        hidden = torch.cat([hidden, reader.after(cache, ids[:, -room:])], 1)
    else:
        hidden = reader.hidden(ids)
        _, cache = reader.read(reader.ids(truncated(text, read, opening).ids))
    scored = last.stop - last.scored
    found.append(reader.losses(hidden[0, -scored - 1 : -1], ids[0, -scored:]))
    losses = torch.cat(found)
    fed = sum(window.stop - window.start for window in (*before, last))
    return {"loss": float(losses.mean()), "tokens": tail, **answers(reader, text, cache), "fed": fed}
