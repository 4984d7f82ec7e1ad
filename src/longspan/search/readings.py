"""Readings: the measurements of a search, each made once, and what they say of a method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longspan.errors import InputError
from longspan.grid.observer import Observer
from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import LoadedModel
from longspan.measure.record import record_of
from longspan.search.cost import Rating, failure, rate, score, tail_cost
from longspan.search.folder import SearchFolder
from longspan.search.judgement import Held
from longspan.study.planning.subject import Subject


class Readings:
    """A subject, its loaded model, and the folder that keeps the records; a record is made where it is missing.

    Arguments:
        observer: shown what is measured.
        tolerance: nats per token that a method may cost on short texts.
    """

    def __init__(
        self, subject: Subject, model: LoadedModel, folder: SearchFolder, observer: Observer, tolerance: float
    ) -> None:
        self.subject, self.model, self.folder = subject, model, folder
        self.observer, self.tolerance = observer, tolerance

    def of(self, method: str, documents: Sequence[Document]) -> list[Measurement]:
        """Return what is asked of a method: one reading of each document."""
        return [self.subject.ask(Reading, document, method) for document in documents]

    def plain(self, kind: type[Short] | type[Truncation], documents: Sequence[Document]) -> list[Measurement]:
        """Return what is asked of the plain model."""
        return [self.subject.ask(kind, document) for document in documents]

    def evaluate(self, method: str, documents: Sequence[Document]) -> Iterator[bool]:
        """Measure a method document by document, and yield whether it was done now; after a failure, nothing is."""
        failed = False
        for asked in self.of(method, documents):
            fresh = not failed and self.folder.record(asked) is None
            failed = failed or "failed" in self.record(asked)
            yield fresh

    def rating(self, method: str, documents: Sequence[Document]) -> Rating:
        """Rate a method on documents."""
        scores = []
        for document, asked in zip(documents, self.of(method, documents), strict=True):
            record = self.record(asked)
            if failed := record.get("failed"):
                return failure(method, failed)
            scores.append(score(record["result"], self.subject.trained_length, self._short(document)))
        return rate(method, scores, self.tolerance)

    def held(self, method: str, documents: Sequence[Document]) -> Held:
        """Return what a method did on held-out documents."""
        results, trained = [self.result(asked) for asked in self.of(method, documents)], self.subject.trained_length
        scores = [score(each, trained, self._short(d)) for d, each in zip(documents, results, strict=True)]
        return Held(tuple(scores), tuple(self._tails(results)))

    def truncation(self, documents: Sequence[Document]) -> list[float]:
        """Return the cost of truncation, by the last tokens, of each document that holds far facts."""
        return self._tails([self.result(each) for each in self.plain(Truncation, documents)])

    def watch(self, stage: str, asked: Sequence[Measurement], pace: Pace | None = None) -> None:
        """Make what is missing, and show how far it is."""
        if missing := self.folder.missing(asked):
            self.observer.watch(stage, missing, map(self.record, missing), pace)

    def record(self, asked: Measurement) -> dict[str, Any]:
        """Return the record of a measurement, which is on disk then."""
        if (found := self.folder.record(asked)) is None:
            found = record_of(asked, self.model)
            self.folder.records.append(found)
        return found

    def result(self, asked: Measurement) -> dict[str, Any]:
        """Return the result of a measurement.

        Errors: InputError where it failed.
        """
        record = self.record(asked)
        if failed := record.get("failed"):
            raise InputError(f"{asked.method} failed: {failed}; nothing can be compared with it")
        return record["result"]

    def _tails(self, results: Sequence[Mapping[str, Any]]) -> list[float]:
        costs = (tail_cost(result, self.subject.trained_length) for result in results)
        return [cost for cost in costs if cost is not None]

    def _short(self, document: Document) -> float:
        """The plain model's loss within the trained length."""
        return self.result(self.subject.ask(Short, document))["short"]
