"""Short: the plain model's loss within its trained length, where it does not read all of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.measurement import Measurement
from longspan.measure.reading.loss import loss_within
from longspan.measure.reading.reader import Reader
from longspan.task import Example


@dataclass(frozen=True)
class Short(Measurement):
    """The loss that the price of a method is measured against."""

    words = "the start of {length}"

    def readings(self) -> list[int]:
        """Return as many tokens as the model was trained on."""
        return [self.trained_length]

    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Measure the loss within the trained length."""
        return loss_within(reader, text.ids, text.own, self.trained_length)
