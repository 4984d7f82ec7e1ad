"""StudyPlan: what a study measures, as the cells of its summary."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.short import Short
from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.racing import Race, Score
from longspan.study.planning.cells import (
    TRUNCATION,
    Cell,
    measurements,
    method_cells,
    race_cells,
    short_cell,
    truncation_cells,
)
from longspan.study.planning.subject import Subject

FINALISTS = 3
"""How many methods of the race are judged."""

ENTRY = 2
"""Trained lengths of the text that all candidates read where not all of them can race."""


@dataclass(frozen=True)
class StudyPlan:
    """What will be measured.

    Arguments:
        subject: the model and the wanted length.
        candidates: methods in the race, the most promising first.
        race, judge: documents.
        readings: of a document by a candidate, how many the race may make. Where these are fewer than the candidates,
            all of them first read a shorter text, which decides who races.
        race_length: tokens read in the race.
        whole: the judged documents that the plain model reads beyond its trained length, the first ones; a reserved
            method reads these too.
        contexts, lengths: of the judgement: contexts of the loss, lengths of texts with facts; both end with N.
        finalists: how many methods of the race are judged.
        reserved: how many places among the judged are kept for the best method that stock runtimes express, 0 or 1.
        exportable: methods that stock runtimes express.
        follows_length: whether the plain model rotates a text's first tokens differently where more tokens follow
            (`Reader.shared_length`). Its loss within the trained length is then read alone, as in the race, whether it
            reads all of a text or not: what a method costs must not depend on what the budget lets the plain model do.
        left_out: in plain words, what the budget does not allow.
    """

    subject: Subject
    candidates: tuple[str, ...]
    race: tuple[Document, ...]
    judge: tuple[Document, ...]
    readings: int
    race_length: int
    whole: tuple[Document, ...]
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]
    finalists: int = FINALISTS
    reserved: int = 1
    exportable: AbstractSet[str] = frozenset()
    follows_length: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """Whether there are more candidates than can be judged."""
        return len(self.candidates) > self.finalists

    @property
    def entry_length(self) -> int | None:
        """Tokens of the shorter text that decides who races; None where all candidates do."""
        return entry_length(self.subject) if self.races and self.readings < len(self.candidates) else None

    @property
    def baselines(self) -> tuple[str, ...]:
        """Rows that need no method; within the trained length nothing has to be cut."""
        return (PLAIN,) if self.subject.within else (TRUNCATION, PLAIN)

    @property
    def outline(self) -> str:
        """Who reads what, in a few words."""
        judged = f"{len(self.judge)} document{'' if len(self.judge) == 1 else 's'} of {self.subject.length} tokens"
        count = len(self.candidates)
        if not self.races:
            return f"{count} method{'' if count == 1 else 's'} on {judged}"
        entry = self.entry_length
        raced = f"all {count} candidates in a race of {self.readings} readings at most"
        if entry is not None:
            raced = f"all {count} candidates on one text of {entry} tokens"
            raced += f", {self.readings} of them in a race" if self.readings else ""
        return f"{raced}, then the best {'one' if self.finalists == 1 else self.finalists} on {judged}"

    def field(self, tolerance: float, candidates: Sequence[str] = ()) -> Race:
        """Return the race of the candidates before anything was read; its documents are numbers of `race`.

        Arguments:
            candidates: in the order in which they may race, where not all can; `self.candidates` by default.
        """
        documents = [str(i) for i in range(len(self.race))]
        return Race(candidates or self.candidates, documents, self.readings, tolerance=tolerance)

    def race_cells(self, number: int, methods: Iterable[str]) -> list[Cell]:
        """Return the cells of one document of the race: each method reads it once, the plain model its beginning."""
        return self._read(self.race[number], self.race_length, methods)

    def entry_cells(self) -> list[Cell]:
        """Return the cells of the shorter text: the beginning of the last document, which the race reads last."""
        length = self.entry_length
        return [] if length is None else self._read(self.race[-1], length, self.candidates)

    def _read(self, document: Document, length: int, methods: Iterable[str]) -> list[Cell]:
        subject = replace(self.subject, length=length)
        price = short_cell(subject, PLAIN, document, Short)
        return [price, *(cell for method in methods for cell in race_cells(subject, method, document))]

    def whole_race(self) -> list[Cell]:
        """Return the cells of a race that no candidate leaves before the budget makes it, the shorter text's with them.

        Whichever candidates race take the same.
        """
        if not self.races:
            return []
        race = self.field(0.0)
        for name in self.candidates:
            for document in race.documents:
                race.add(name, document, Score(0.0, 0.0))
        read: dict[str, list[str]] = {}
        for cell in race.ranking.used:
            read.setdefault(cell.document, []).append(cell.candidate)
        raced = [cell for document, methods in read.items() for cell in self.race_cells(int(document), methods)]
        return [*self.entry_cells(), *raced]

    def judgement_cells(self, judged: Sequence[str]) -> list[Cell]:
        """Return the cells of the judgement, in the order in which they are measured.

        Arguments:
            judged: the finalists; one more, with a reserved place, reads no more documents than the plain model does.
        """
        read = self.whole == self.judge and (self.subject.within or not self.follows_length)
        documents = {name: self.judge if place < self.finalists else self.whole for place, name in enumerate(judged)}
        return [
            *(cell for document in self.judge for cell in self._truncation(document)),
            *([] if read else self._short(PLAIN, Short, self.judge)),
            *self._method(PLAIN, self.whole),
            *(self._short(PLAIN, Reading, self.judge) if read else []),
            *(cell for method, texts in documents.items() for cell in self._method(method, texts)),
            *(cell for method, texts in documents.items() for cell in self._short(method, Reading, texts)),
        ]

    def seconds(self, pace: Pace) -> float:
        """Return what it will take at most; whichever methods are judged take the same."""
        finalists = self.candidates[: self.finalists]
        reserved = [name for name in self.candidates[self.finalists :] if name in self.exportable][: self.reserved]
        cells = (self.whole_race(), self.judgement_cells([*finalists, *reserved]))
        return sum(map(pace.seconds, (asked for each in cells for asked in measurements(each))))

    def _truncation(self, document: Document) -> Iterable[Cell]:
        """Within the trained length nothing is cut."""
        if self.subject.within:
            return ()
        return truncation_cells(self.subject, document, self.contexts, self.lengths)

    def _method(self, method: str, documents: Iterable[Document]) -> list[Cell]:
        return [
            cell
            for document in documents
            for cell in method_cells(self.subject, method, document, self.contexts, self.lengths)
        ]

    def _short(self, method: str, kind: type[Reading] | type[Short], documents: Iterable[Document]) -> list[Cell]:
        return [short_cell(self.subject, method, document, kind) for document in documents]


def entry_length(subject: Subject) -> int | None:
    """Return the tokens of a text that is much cheaper than N and holds facts beyond L; None where there is none."""
    found = ENTRY * subject.trained_length
    return found if 2 * found <= subject.length else None
