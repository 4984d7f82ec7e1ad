"""Reading: one pass over a text with facts in it gives the loss of every token and the answers to every question.

A long text costs as much as all that is asked of it afterwards is worth: it is read once, into a cache.
"""

from typing import Any

from longspan.measure.loss import loss_by_position
from longspan.measure.reader import Reader
from longspan.measure.retrieval import answers
from longspan.tasks.retrieval import Haystack


def reading(reader: Reader, text: Haystack, trained_length: int, tail: int) -> dict[str, Any]:
    """What `loss_by_position` and `answers` say of a text, and how many tokens were `fed`."""
    ids = reader.ids(text.ids)
    hidden, cache = reader.read(ids)
    losses = reader.losses(hidden[0, :-1], ids[0, 1:])
    found = loss_by_position(losses, text.own, trained_length, tail)
    return {**found, **answers(reader, text, cache), "fed": len(text.ids)}
