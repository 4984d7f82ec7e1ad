"""Grid: which measurements a race and a judgement consist of, and how many tokens each reads."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from longspan.measure.measurement import PLAIN
from longspan.tasks.continuation import tail_length, windows
from longspan.tasks.documents import Document

Measurements = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Grid:
    """The measurements of one model at one wanted length.

    Arguments:
        model, dtype, fingerprint: as in `longspan.measure.measurement`.
        trained_length, length: L and N, tokens.
        seed: of the haystacks.
    """

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    length: int
    seed: int = 0

    @property
    def tail(self) -> int:
        """How many last tokens are scored."""
        return tail_length(self.trained_length, self.length)

    def contexts(self) -> list[int]:
        """L/2, L, 2L … and N."""
        return [self.trained_length // 2, *self.lengths()]

    def lengths(self) -> list[int]:
        """L, 2L, 4L … and N."""
        found, length = [], self.trained_length
        while length < self.length:
            found.append(length)
            length *= 2
        return [*found, self.length]

    def race(self, methods: Sequence[str], documents: Sequence[Document]) -> Measurements:
        """Every document read once by every method."""
        return [self.reading(method, document) for method in methods for document in documents]

    def judgement(
        self, methods: Sequence[str], documents: Sequence[Document], contexts: Sequence[int], lengths: Sequence[int]
    ) -> Measurements:
        """Everything about a few methods; of the plain model, what is not truncation's."""
        trained, found = self.trained_length, []
        for method in methods:
            wanted = [n for n in contexts if n < self.length and (method != PLAIN or n != trained)]
            asked = [n for n in lengths if n < self.length and (method != PLAIN or n > trained)]
            for document in documents:
                found.append(self.reading(method, document))
                found += [self.context(method, document, context) for context in wanted]
                found += [self.retrieval(method, document, length) for length in asked]
        return found

    def truncations(self, documents: Sequence[Document], lengths: Sequence[int]) -> Measurements:
        """Everything about truncation, which is the plain model where nothing has to be cut."""
        return [
            self.truncation(document, length)
            if length > self.trained_length
            else self.retrieval(PLAIN, document, length)
            for document in documents
            for length in lengths
        ]

    def reading(self, method: str, document: Document) -> dict[str, Any]:
        """All of the wanted length read once: loss by position, and the facts in it."""
        return self._common("reading", method, document, self.length)

    def context(self, method: str, document: Document, context: int) -> dict[str, Any]:
        """Loss of the same last tokens at a context."""
        return {**self._common("context", method, document, self.length), "context": context}

    def retrieval(self, method: str, document: Document, length: int) -> dict[str, Any]:
        """Facts in a text of `length` tokens."""
        return self._common("retrieval", method, document, length)

    def truncation(self, document: Document, length: int) -> dict[str, Any]:
        """Loss and facts in a text of `length` tokens, of which the plain model reads the last L."""
        return self._common("truncation", PLAIN, document, length)

    def short(self, document: Document) -> dict[str, Any]:
        """Loss of the plain model within the trained length."""
        return self._common("short", PLAIN, document, self.length)

    def _common(self, kind: str, method: str, document: Document, length: int) -> dict[str, Any]:
        return {
            "kind": kind,
            "model": self.model,
            "dtype": self.dtype,
            "fingerprint": self.fingerprint,
            "trained_length": self.trained_length,
            "method": method,
            "document": asdict(document),
            "length": length,
            "tail": tail_length(self.trained_length, length),
            "seed": self.seed,
        }


def readings(arguments: dict[str, Any]) -> list[int]:
    """How many tokens a measurement reads at once, time after time; questions and the like left out."""
    length, trained = arguments["length"], arguments["trained_length"]
    match arguments["kind"]:
        case "context":
            return [arguments["context"]] * len(windows(length, arguments["context"], arguments["tail"]))
        case "truncation":
            return [trained] * len(windows(length, trained, arguments["tail"]))
        case "short":
            return [trained]
        case _:
            return [length]
