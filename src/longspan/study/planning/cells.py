"""Cells: every number that a summary needs has a name, and the measurement that gives it.

A plan makes the cells and the summary reads them by name, so that what is measured is what is shown. Several cells may
share one measurement: a reading of all N tokens gives loss, retrieval and price of a method at once, and the plain
model at a context of L tokens is truncation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.retrieval import Retrieval
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN
from longspan.study.planning.subject import Subject

TRUNCATION = "truncation"
"""The row of what every method has to beat; a row's name is a method's text otherwise."""


class Quantity(StrEnum):
    """What a cell says about a method."""

    LOSS = "loss"
    """Loss of the tail at a context of so many tokens."""
    RETRIEVAL = "retrieval"
    """Facts found in a text of so many tokens."""
    SHORT = "short"
    """Loss within the trained length."""
    WHOLE = "whole"
    """Loss by position of a text of so many tokens, its speed and its memory."""


@dataclass(frozen=True)
class Cell:
    """One number of the summary for one document.

    Arguments:
        row: a method's text, "plain" or "truncation".
        quantity: what it is.
        tokens: context of a loss, length of a text.
        asked: the measurement that gives it.
    """

    row: str
    quantity: Quantity
    tokens: int
    asked: Measurement

    @property
    def column(self) -> tuple[str, Quantity, int]:
        """Its name up to the document: cells of one column are averaged."""
        return self.row, self.quantity, self.tokens


def measurements(cells: Iterable[Cell]) -> list[Measurement]:
    """Return the measurements that fill some cells, each once, in the order in which they are made."""
    return list(dict.fromkeys(cell.asked for cell in cells))


def race_cells(subject: Subject, method: str, document: Document) -> Iterator[Cell]:
    """Make the cell of one candidate and one document: the text is read once."""
    yield Cell(method, Quantity.WHOLE, subject.length, subject.ask(Reading, document, method))


def truncation_cells(
    subject: Subject, document: Document, contexts: Iterable[int], lengths: Iterable[int]
) -> Iterator[Cell]:
    """Make the cells of truncation: the plain model on the last L tokens.

    Texts of L tokens need not be cut. The loss of the tail is the same at every context from L on.
    """
    for length in lengths:
        kind = Truncation if length > subject.trained_length else Retrieval
        yield Cell(TRUNCATION, Quantity.RETRIEVAL, length, subject.ask(kind, document, length=length))
    for context in contexts:
        if context >= subject.trained_length:
            yield Cell(TRUNCATION, Quantity.LOSS, context, subject.ask(Truncation, document))


def method_cells(
    subject: Subject, method: str, document: Document, contexts: Iterable[int], lengths: Iterable[int]
) -> Iterator[Cell]:
    """Make the cells of one judged method, all but its loss within the trained length."""
    whole = subject.ask(Reading, document, method)
    yield Cell(method, Quantity.WHOLE, subject.length, whole)
    for context in contexts:
        if context == subject.length:
            asked = whole
        elif method == PLAIN and context == subject.trained_length < subject.length:
            asked = subject.ask(Truncation, document)
        else:
            asked = subject.ask(Context, document, method, context=context)
        yield Cell(method, Quantity.LOSS, context, asked)
    for length in lengths:
        asked = whole if length == subject.length else subject.ask(Retrieval, document, method, length)
        yield Cell(method, Quantity.RETRIEVAL, length, asked)


def short_cell(subject: Subject, method: str, document: Document, kind: type[Reading] | type[Short]) -> Cell:
    """Make the cell of the loss within the trained length, which a reading of the whole text gives too."""
    return Cell(method, Quantity.SHORT, subject.trained_length, subject.ask(kind, document, method))
