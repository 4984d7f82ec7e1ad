"""Grid: which measurements a race and a judgement consist of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from longspan.measure.kinds import PLAIN, Context, Measurement, Reading, Retrieval, Truncation
from longspan.tasks.continuation import tail_length
from longspan.tasks.documents import Document

Measurements = Sequence[Measurement]


@dataclass(frozen=True)
class Grid:
    """The measurements of one model at one wanted length.

    Arguments:
        model, dtype, fingerprint: as in `longspan.measure.kinds`.
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
        return [self.ask(Reading, document, method) for method in methods for document in documents]

    def judgement(
        self, methods: Sequence[str], documents: Sequence[Document], contexts: Sequence[int], lengths: Sequence[int]
    ) -> Measurements:
        """Everything about a few methods; of the plain model, what is not truncation's."""
        trained, found = self.trained_length, []
        for method in methods:
            wanted = [n for n in contexts if n < self.length and (method != PLAIN or n != trained)]
            asked = [n for n in lengths if n < self.length and (method != PLAIN or n > trained)]
            for document in documents:
                found.append(self.ask(Reading, document, method))
                found += [self.ask(Context, document, method, context=context) for context in wanted]
                found += [self.ask(Retrieval, document, method, length) for length in asked]
        return found

    def truncations(self, documents: Sequence[Document], lengths: Sequence[int]) -> Measurements:
        """Everything about truncation, which is the plain model where nothing has to be cut."""
        return [
            self.ask(Truncation if length > self.trained_length else Retrieval, document, length=length)
            for document in documents
            for length in lengths
        ]

    def ask(
        self, kind: type[Measurement], document: Document, method: str = PLAIN, length: int | None = None, **more: Any
    ) -> Measurement:
        """A measurement on a text of `length` tokens, or of the wanted length; `more` is what its kind alone takes."""
        known = {**asdict(self), "length": length or self.length}
        tail = tail_length(self.trained_length, known["length"])
        return kind(**known, method=method, document=document, tail=tail, **more)
