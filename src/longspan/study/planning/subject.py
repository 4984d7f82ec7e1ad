"""Subject: what a study is about, one model at one wanted length."""

from dataclasses import asdict, dataclass
from typing import Any

from longspan.measure.corpus.documents import Document
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN
from longspan.measure.reading.feeding import tail_length


@dataclass(frozen=True)
class Subject:
    """One model at one wanted length. A study's folder holds the measurements of one subject.

    Arguments:
        model, dtype, fingerprint: as in `longspan.measure.measurement`.
        trained_length, length: L and N, tokens.
        seed: of the facts.
    """

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    length: int
    seed: int = 0

    @property
    def tail(self) -> int:
        """How many last tokens of a text are scored."""
        return tail_length(self.trained_length, self.length)

    @property
    def within(self) -> bool:
        """Whether N is within the trained length, so that nothing has to be cut."""
        return self.length <= self.trained_length

    def contexts(self) -> list[int]:
        """Return L/2, L, 2L … and N; within the trained length N/2 and N."""
        return [min(self.trained_length, self.length) // 2, *self.lengths()]

    def lengths(self) -> list[int]:
        """Return L, 2L, 4L … and N."""
        found, length = [], self.trained_length
        while length < self.length:
            found.append(length)
            length *= 2
        return [*found, self.length]

    def ask(
        self, kind: type[Measurement], document: Document, method: str = PLAIN, length: int | None = None, **more: Any
    ) -> Measurement:
        """Return a measurement on a text of `length` tokens, by default N; `more` is what its kind alone takes."""
        own = {**asdict(self), "length": length or self.length}
        tail = tail_length(self.trained_length, own["length"])
        return kind(**own, method=method, document=document, tail=tail, **more)
