"""Reading: one forward pass over a text with facts gives the loss of every token and the answers to every question.

Reading a long text is what costs, so that everything is asked of the same cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.measurement import Measurement
from longspan.measure.reading.kept import kept
from longspan.measure.reading.loss import loss_by_position
from longspan.measure.reading.reader import Reader
from longspan.measure.scoring.answers import answers
from longspan.task import Example


@dataclass(frozen=True)
class Reading(Measurement):
    """Everything about a text: what a race and a verdict are based on."""

    words = "reading {length}"

    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Measure the loss by position, and ask for the facts."""
        return reading(reader, text, self.trained_length, self.tail)


def reading(reader: Reader, text: Example, trained_length: int, tail: int) -> dict[str, Any]:
    """Return what `loss_by_position`, `kept` and `answers` say of a text, and how many tokens were `fed`."""
    ids = reader.ids(text.ids)
    hidden, cache = reader.read(ids)
    memory = kept(cache)
    losses = reader.losses(hidden[0, :-1], ids[0, 1:])
    found = loss_by_position(losses, text.own, trained_length, tail)
    return {**found, **memory, **answers(reader, text, cache), "fed": len(text.ids)}
