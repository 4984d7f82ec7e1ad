"""Context: how well the same last tokens of a text are predicted from a context of so many tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.measurement import Measurement
from longspan.measure.reading.feeding import feeds
from longspan.measure.reading.loss import loss_at_context
from longspan.measure.reading.reader import Reader
from longspan.task import Example


@dataclass(frozen=True)
class Context(Measurement):
    """The loss of a text's tail when each of its tokens sees about `context` tokens.

    Arguments:
        context: tokens fed at once, the scored ones included.
    """

    words = "loss at context {context}"

    context: int

    def readings(self) -> list[int]:
        """Return the context's tokens, once for each piece of the tail."""
        return [self.context] * len(feeds(self.length, self.context, self.tail))

    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Measure the loss of the tail."""
        return loss_at_context(reader, text.ids, self.context, self.tail, opening)
