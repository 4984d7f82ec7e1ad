"""Retrieval: which of the facts hidden in a text the model finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.measurement import Measurement
from longspan.measure.reading.reader import Reader
from longspan.measure.scoring.answers import answers
from longspan.task import Example


@dataclass(frozen=True)
class Retrieval(Measurement):
    """Which facts are found in a text."""

    words = "retrieval at {length}"

    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Read the text and ask for the facts."""
        return retrieval(reader, text)


def retrieval(reader: Reader, text: Example, fresh: bool = False) -> dict[str, Any]:
    """Return what `answers` says of a text, and how many tokens were `fed`; `fresh` reads it anew for each choice."""
    cache = None if fresh else reader.read(reader.ids(text.ids), 1)[1]
    return {**answers(reader, text, cache), "fed": len(text.ids)}
