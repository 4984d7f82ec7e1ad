"""A diagnostic: one number of what happens inside a model that reads n tokens, to look at where n grows.

It says nothing about how good an answer is; it shows why: attention that spreads, a sink that is lost, angles that
training never showed. A diagnostic is one file of `longspan/measure/diagnostics`; the folder is the registry.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from longspan.measure.reading.reader import Reader
from longspan.measure.watching import Rows, watch
from longspan.memo import remember
from longspan.notation import read_value
from longspan.pretrained.attach import attached
from longspan.pretrained.attachment import attachment_of
from longspan.registry import name_of, registered


@dataclass(frozen=True)
class Subject:
    """What is looked at.

    Arguments:
        reader: of the model.
        method: a scheme's text.
        ids: the text's tokens, as many as are read.
        trained_length: tokens that the model was trained on.
    """

    reader: Reader
    method: str
    ids: Sequence[int]
    trained_length: int

    @cached_property
    def frequencies(self) -> dict[int, Tensor]:
        """The frequencies that each layer was trained with, radians per token, for layers that rotate."""
        with attached(self.reader.model, "rope") as model:
            attachment = attachment_of(model)
            assert attachment is not None  # it was attached just now
            spectra = {number: layer.spectrum() for number, layer in enumerate(attachment.anatomy.layers)}
        return {number: torch.tensor(s.own, dtype=torch.float64) for number, s in spectra.items() if s is not None}


class Diagnostic(ABC):
    """A value whose fields are settings with defaults."""

    unit: ClassVar[str]
    """What `value` is measured in."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return name_of(type(self))

    @abstractmethod
    def look(self, subject: Subject) -> dict[str, Any]:
        """Return `value`, the number that stands for the text, and what belongs to it, as JSON.

        Errors: RefusalError for a model or a method that cannot be looked at.
        """


class OfQueries(Diagnostic, ABC):
    """A number of every query of every layer that sees all tokens."""

    @abstractmethod
    def of(self, rows: Rows, subject: Subject) -> Float[Tensor, "heads queries"]:
        """Return the number of each head and query."""

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return the mean over layers, heads and the last eighth of the queries, that of each layer, and bins.

        `bins` are means over queries 1, 2 … 3, 4 … 7, 8 … 15 … of the text.
        """
        found: dict[int, np.ndarray] = {}

        def visit(rows: Rows) -> None:
            of_layer = found.setdefault(rows.layer, np.zeros(len(subject.ids)))
            of_layer[rows.order] = self.of(rows, subject).double().mean(0).cpu().numpy()

        watch(subject.reader, subject.method, subject.ids, visit)
        layers, length = np.stack([found[layer] for layer in sorted(found)]), len(subject.ids)
        last, mean = length - max(1, length // 8), layers.mean(0)
        starts = [1 << n for n in range((length - 1).bit_length())]
        return {
            "value": float(mean[last:].mean()),
            "layers": {str(layer): float(found[layer][last:].mean()) for layer in sorted(found)},
            "bins": [
                {"start": start, "stop": min(2 * start, length), "value": float(mean[start : 2 * start].mean())}
                for start in starts
            ],
        }


@remember(None)
def diagnostics() -> dict[str, type[Diagnostic]]:
    """Return every diagnostic by its name, found by walking the folder."""
    return registered("longspan.measure.diagnostics", Diagnostic)


def diagnostic_of(text: str) -> Diagnostic:
    """Return the diagnostic that a text describes, "sink_mass" or "sink_mass(sinks=1)".

    Errors: NotationError for a text that names none.
    """
    return read_value(text, diagnostics(), "diagnostic")
