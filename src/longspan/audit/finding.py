"""A finding: one thing that an audit has to say about a checkpoint, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["failure", "warning", "note"]
"""A failure is a mistake that no error message reports; a warning depends on how the model is used; a note informs."""


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Arguments:
        check: name of the check that found it, the name of its file.
        severity: "failure", "warning" or "note"; a failure makes `longspan audit` end with exit code 1.
        where: the field, file or layer type in question.
        what: what is wrong, one sentence.
        given: the value found there, as text.
        do: what repairs it, one sentence.
    """

    check: str
    severity: Severity
    where: str
    what: str
    given: str
    do: str

    def __str__(self) -> str:
        given = f" (given: {self.given})" if self.given else ""
        return f"{self.where}: {self.what}{given}; {self.do}"
