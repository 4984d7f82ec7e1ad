"""Kinds of measurement: each says its name, what it reads, what it finds and what is shown meanwhile.

A measurement is a value that JSON holds. Its text is a document's first tokens with facts among them. A new kind is one
more class here; `Grid` says of which documents it is asked.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from longspan.errors import InputError
from longspan.measure.loss import loss_at_context, loss_within
from longspan.measure.reader import Reader
from longspan.measure.reading import reading, truncation
from longspan.measure.retrieval import retrieval
from longspan.tasks.continuation import windows
from longspan.tasks.documents import Document
from longspan.tasks.retrieval import Haystack

PLAIN = "plain"


@dataclass(frozen=True)
class Measurement(ABC):
    """What is asked of one model, by one method, about one text.

    Arguments:
        model, dtype: what `longspan.measure.loading.load` takes.
        fingerprint: of the model's numbers: another model under the same name is refused.
        trained_length: tokens.
        method: a scheme's text, or "plain".
        document: what the text is made of.
        length: of the text, tokens.
        tail: how many last tokens of the text have no facts among them, and are scored.
        seed: of the facts.

    A kind's name stands in stored results and never changes; its words may name arguments.
    """

    kind: ClassVar[str]
    words: ClassVar[str]

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    method: str
    document: Document
    length: int
    tail: int
    seed: int

    @staticmethod
    def of(arguments: Mapping[str, Any]) -> "Measurement":
        """The measurement of these JSON arguments.

        Errors: InputError for a kind that there is not.
        """
        kinds = {kind.kind: kind for kind in Measurement.__subclasses__()}
        own = {**arguments, "document": Document(**arguments["document"])}
        if (name := own.pop("kind")) not in kinds:
            raise InputError(f"no measurement of kind {name!r}; there are {', '.join(kinds)}")
        return kinds[name](**own)

    @property
    def arguments(self) -> dict[str, Any]:
        """Its JSON arguments."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def key(self) -> str:
        """The name of its result: equal arguments, equal key."""
        return hashlib.sha256(json.dumps(self.arguments, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.method} · {self.words.format(**vars(self))}"

    def readings(self) -> list[int]:
        """How many tokens are read at once, time after time; questions and the like left out."""
        return [self.length]

    @abstractmethod
    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """What the model says of the text; `opening` is what its tokenizer puts before every text."""


class Reading(Measurement):
    """Everything about a text: what a race and a verdict stand on."""

    kind, words = "reading", "reading {length}"

    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """Loss by position, and the facts found."""
        return reading(reader, text, self.trained_length, self.tail)


@dataclass(frozen=True)
class Context(Measurement):
    """How well the same last tokens are predicted from a context of so many tokens."""

    kind, words = "context", "loss at context {context}"

    context: int

    def readings(self) -> list[int]:
        """As many tokens as the context has, again for each piece of the tail."""
        return [self.context] * len(windows(self.length, self.context, self.tail))

    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """Loss of the tail."""
        return loss_at_context(reader, text.ids, self.context, self.tail, opening)


class Retrieval(Measurement):
    """Which facts are found in a text."""

    kind, words = "retrieval", "retrieval at {length}"

    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """The facts found."""
        return retrieval(reader, text)


class Truncation(Measurement):
    """What every method has to beat: the last tokens of a text, as many as the model was trained on."""

    kind, words = "truncation", "the end of {length}"

    def readings(self) -> list[int]:
        """As many tokens as the model was trained on, again for each piece of the tail."""
        return [self.trained_length] * len(windows(self.length, self.trained_length, self.tail))

    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """Loss of the tail, and the facts found."""
        return truncation(reader, text, self.trained_length, self.tail, opening)


class Short(Measurement):
    """What a price is paid against where the plain model does not read all of a text."""

    kind, words = "short", "the start of {length}"

    def readings(self) -> list[int]:
        """The first tokens, as many as the model was trained on."""
        return [self.trained_length]

    def result(self, reader: Reader, text: Haystack, opening: Sequence[int]) -> dict[str, Any]:
        """Loss within the trained length."""
        return loss_within(reader, text.ids, text.own, self.trained_length)
