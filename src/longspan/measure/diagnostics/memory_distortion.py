"""Memory distortion: how far codes of far keys move the last hidden states of a text.

    √( Σ ‖h_t − h'_t‖² / Σ ‖h'_t‖² )  over the last tokens t

h is of the method, h' of the same method without its memory, which keeps every key. It is 0 for a method that has none,
and falls to 0 as codes become as many as far keys.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from longspan.measure.diagnostic import Diagnostic, Subject
from longspan.notation import format_scheme, parse
from longspan.pretrained.attach import attached


@dataclass(frozen=True)
class MemoryDistortion(Diagnostic):
    """Relative error of the last hidden states of a text.

    Arguments:
        last: tokens that are compared; at most as many as the text has.
    """

    unit = "share"

    last: int = 256

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return the distortion, and over how many `tokens` it is."""
        scheme, tokens = parse(subject.method), min(self.last, len(subject.ids))
        if scheme.memory is None:
            return {"value": 0.0, "tokens": tokens}
        found = self._hidden(subject, subject.method, tokens)
        exact = self._hidden(subject, format_scheme(replace(scheme, memory=None)), tokens)
        return {"value": float((found - exact).norm() / exact.norm()), "tokens": tokens}

    def _hidden(self, subject: Subject, method: str, last: int) -> Tensor:
        with attached(subject.reader.model, method):
            return subject.reader.read(subject.reader.ids(subject.ids), last)[0].double()
