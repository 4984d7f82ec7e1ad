"""Truncation: what every method has to beat, the plain model on a text's last tokens, as many as it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from longspan.measure.measurement import Measurement
from longspan.measure.reading.feeding import feeds
from longspan.measure.reading.loss import losses_in
from longspan.measure.reading.reader import Reader
from longspan.measure.scoring.answers import answers
from longspan.task import Example


@dataclass(frozen=True)
class Truncation(Measurement):
    """Loss of a text's tail and facts found when only the last trained-length tokens are read."""

    words = "the end of {length}"

    def readings(self) -> list[int]:
        """Return as many tokens as the model was trained on, once for each piece of the tail."""
        return [self.trained_length] * len(feeds(self.length, self.trained_length, self.tail))

    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Measure the loss of the tail, and ask for the facts."""
        return truncation(reader, text, self.trained_length, self.tail, opening)


def truncation(reader: Reader, text: Example, read: int, tail: int, opening: Sequence[int] = ()) -> dict[str, Any]:
    """Return what `loss_at_context` and `answers` say when only the last `read` tokens of a text are fed.

    The last feed serves both. Questions are asked before its last tokens, so that the longest one with its answer
    makes `read` tokens; no fact is lost by that, because none is among the last `tail` tokens.
    """
    *before, last = feeds(len(text.ids), min(read, len(text.ids)), tail)
    found = losses_in(reader, text.ids, before, opening)
    ids, room = reader.ids(last.ids(text.ids, opening)), text.room
    if room <= tail:
        hidden, cache = reader.read(ids[:, :-room])
        hidden = torch.cat([hidden, reader.after(cache, ids[:, -room:])], 1)
    else:
        hidden = reader.hidden(ids)
        _, cache = reader.read(reader.ids(text.truncated(read, opening).ids), 1)
    scored = last.stop - last.scored
    found.append(reader.losses(hidden[0, -scored - 1 : -1], ids[0, -scored:]))
    losses = torch.cat(found)
    fed = sum(feed.stop - feed.start for feed in (*before, last))
    return {"loss": float(losses.mean()), "tokens": tail, **answers(reader, text, cache), "fed": fed}
