"""StudyPlan: what a study measures, as the cells of its summary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from longspan.grid.pace import Pace
from longspan.measure.documents import Document
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.short import Short
from longspan.measure.model import PLAIN
from longspan.study.planning.cells import (
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


@dataclass(frozen=True)
class StudyPlan:
    """What will be measured.

    Arguments:
        subject: the model and the wanted length.
        candidates: methods in the race.
        race, judge: documents.
        race_length: tokens read in the race.
        whole: the judged documents that the plain model reads beyond its trained length, the first ones.
        contexts, lengths: of the judgement: contexts of the loss, lengths of texts with facts; both end with N.
        finalists: how many methods of the race are judged.
        left_out: in plain words, what the budget does not allow.
    """

    subject: Subject
    candidates: tuple[str, ...]
    race: tuple[Document, ...]
    judge: tuple[Document, ...]
    race_length: int
    whole: tuple[Document, ...]
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]
    finalists: int = FINALISTS
    left_out: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """Whether there are more candidates than can be judged."""
        return len(self.candidates) > self.finalists

    def race_cells(self) -> list[Cell]:
        """Return the cells of the race: every document read once by the plain model and by every candidate."""
        if not self.races:
            return []
        subject = replace(self.subject, length=self.race_length)
        methods = (PLAIN, *self.candidates)
        return [cell for method in methods for document in self.race for cell in race_cells(subject, method, document)]

    def judgement_cells(self, finalists: Sequence[str]) -> list[Cell]:
        """Return the cells of the judgement, in the order in which they are measured."""
        read = self.whole == self.judge
        return [
            *(cell for d in self.judge for cell in truncation_cells(self.subject, d, self.contexts, self.lengths)),
            *([] if read else self._short(PLAIN, Short)),
            *self._method(PLAIN, self.whole),
            *(self._short(PLAIN, Reading) if read else []),
            *(cell for method in finalists for cell in self._method(method, self.judge)),
            *(cell for method in finalists for cell in self._short(method, Reading)),
        ]

    def seconds(self, pace: Pace) -> float:
        """Return what it will take; whichever methods are judged take the same."""
        cells = (self.race_cells(), self.judgement_cells(self.candidates[: self.finalists]))
        return sum(map(pace.seconds, (asked for each in cells for asked in measurements(each))))

    def _method(self, method: str, documents: Iterable[Document]) -> list[Cell]:
        return [
            cell
            for document in documents
            for cell in method_cells(self.subject, method, document, self.contexts, self.lengths)
        ]

    def _short(self, method: str, kind: type[Reading] | type[Short]) -> list[Cell]:
        return [short_cell(self.subject, method, document, kind) for document in self.judge]
