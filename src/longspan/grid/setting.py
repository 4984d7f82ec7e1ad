"""Setting: what answered, where and to which command, which every folder of results says of itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from longspan.measure.corpus.documents import Document
from longspan.measure.hardware.device import device_named
from longspan.measure.hardware.machine import hardware, versions


@runtime_checkable
class Asked(Protocol):
    """What a setting says of a request."""

    @property
    def model(self) -> str:
        """The model, as the user named it."""
        ...

    @property
    def command(self) -> str:
        """What the user typed."""
        ...

    @property
    def device(self) -> str:
        """Where the model runs."""
        ...


@runtime_checkable
class Identified(Protocol):
    """What a setting says of a loaded model."""

    @property
    def trained_length(self) -> int:
        """Tokens that it was trained on."""
        ...

    @property
    def dtype(self) -> str:
        """Of its numbers."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of its numbers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What was measured, on what, with what; each verb adds what it was asked.

    Arguments:
        model: as the user named it.
        trained_length: L, tokens.
        dtype, fingerprint: of the model's numbers.
        documents: names of those that were measured on.
        digests: of their tokens; empty in older summaries.
        hardware: as in "AMD EPYC, 2 threads".
        versions: of the libraries, by name.
        command: what the user typed.
    """

    model: str
    trained_length: int
    dtype: str
    fingerprint: str
    documents: tuple[str, ...]
    hardware: str
    versions: Mapping[str, str]
    command: str
    digests: tuple[str, ...] = ()

    @classmethod
    def of_this_machine(
        cls, request: Asked, subject: Identified, documents: Iterable[Document | None], **own: Any
    ) -> Self:
        """Return the setting of what this machine measures for a request.

        Arguments:
            subject: the loaded model.
            documents: None where a task needs none.
            own: the fields that a verb adds.
        """
        known = [document for document in documents if document is not None]
        return cls(
            model=request.model,
            trained_length=subject.trained_length,
            dtype=subject.dtype,
            fingerprint=subject.fingerprint,
            documents=tuple(document.name for document in known),
            hardware=hardware(device_named(request.device)),
            versions=versions(),
            command=request.command,
            digests=tuple(document.digest for document in known),
            **own,
        )
