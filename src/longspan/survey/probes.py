"""Probes: the measurements of a survey. Each is a pure function of its JSON arguments, with one record on disk."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document
from longspan.measure.diagnostic import Subject, diagnostic_of
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.record import key_of
from longspan.measure.reduction import Text, reduced, reduction_of
from longspan.measure.scoring.controls import controlled
from longspan.measure.scoring.examining import examined
from longspan.task import Material, task_of


@dataclass(frozen=True)
class Probe(ABC):
    """What is asked of one model, by one method, at one length, about one document.

    Arguments:
        model, dtype, fingerprint, trained_length, method: as in `longspan.measure.measurement`.
        length: tokens.
        index: which document or example, counted from 0.
        document: what the text is made of, no more of it than is read; None for tasks that need no text.
    """

    kind: ClassVar[str]
    """Stored results contain it, so that it never changes."""

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    method: str
    length: int
    index: int
    document: Document | None

    @property
    def arguments(self) -> dict[str, Any]:
        """Its JSON arguments."""
        found = {"kind": self.kind, **{each.name: getattr(self, each.name) for each in fields(self)}}
        # `asdict` of the whole would copy every field, and a survey asks for thousands of keys.
        return found if self.document is None else {**found, "document": asdict(self.document)}

    @property
    def key(self) -> str:
        """The name of its record: equal arguments, equal key."""
        return self._key

    @cached_property
    def _key(self) -> str:
        """Made once: a survey asks for the records of all documents after each of them."""
        return key_of(self.arguments)

    def readings(self) -> list[int]:
        """Return how many tokens are read at least."""
        return [self.length]

    @abstractmethod
    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return the result; the method is on the model already."""


@dataclass(frozen=True)
class TaskProbe(Probe):
    """One example of a task.

    Arguments:
        task: its text, a name with the settings that differ from their defaults.
        control: the name of a control; empty for the example as it is.
    """

    kind = "task"

    task: str
    control: str = ""

    def __str__(self) -> str:
        control = f", {self.control.replace('_', ' ')}" if self.control else ""
        return f"{self.method} · {self.task} at {self.length}, example {self.index + 1}{control}"

    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return what `examined` says; `score` is None where the control does not apply to the task."""
        material = material_of(model, self.document)
        example = task_of(self.task).example(material, self.length, str(self.index))
        if self.control:
            example = controlled(self.control, example, material, self.trained_length)
        return {"score": None} if example is None else examined(model, example)


@dataclass(frozen=True)
class LossProbe(Probe):
    """One reduction of the losses of a document's tokens.

    Arguments:
        loss: the reduction's text, a name with the settings that differ from their defaults.
    """

    kind = "loss"

    loss: str

    def __str__(self) -> str:
        return f"{self.method} · {self.loss} at {self.length}, document {self.index + 1}"

    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return what the reduction says."""
        ids = () if self.document is None else self.document.tokens(model.tokenizer)
        text = Text(ids, self.trained_length, model.tokenizer.decode, model.opening)
        return reduced(model.reader, text, self.length, {self.loss: reduction_of(self.loss)})[self.loss]


@dataclass(frozen=True)
class DiagnosticProbe(Probe):
    """One look into the model as it reads a document.

    Arguments:
        diagnostic: its text, a name with the settings that differ from their defaults.
    """

    kind = "diagnostic"

    diagnostic: str

    def __str__(self) -> str:
        return f"{self.method} · {self.diagnostic} at {self.length}, document {self.index + 1}"

    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return what the diagnostic says of the document's first tokens."""
        return diagnostic_of(self.diagnostic).look(subject_of(model, self.document, self))


def subject_of(model: LoadedModel, document: Document | None, probe: Probe) -> Subject:
    """Return what a diagnostic looks at.

    Errors: InputError where there is no document.
    """
    if document is None:
        raise InputError("a diagnostic looks at a model that reads a text: give documents with --text PATH")
    ids = (*model.opening, *document.tokens(model.tokenizer))[: probe.length]
    return Subject(model.reader, "rope" if probe.method == PLAIN else probe.method, ids, probe.trained_length)


def material_of(model: LoadedModel, document: Document | None) -> Material:
    """Return what examples are made from: a document as tokens and as text."""
    ids = () if document is None else document.tokens(model.tokenizer)
    return Material(model.tokenizer, ids, model.opening, model.tokenizer.decode(ids) if ids else "")
