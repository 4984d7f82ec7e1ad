"""One measurement: a pure function of JSON arguments to a JSON record, so that a grid can run on any machines.

What can be asked is a `Measurement`; its kinds are the files of `longspan/measure/kinds`. The record holds the
arguments, their key, the result, or `failed` with the reason, seconds, peak memory and versions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader
from longspan.measure.record import key_of, record_of
from longspan.memo import remember
from longspan.registry import name_of, registered
from longspan.task import Example, Material
from longspan.tasks.retrieval import FactRetrieval


@dataclass(frozen=True)
class Measurement(ABC):
    """What is asked of one model, by one method, about one text: a document's first tokens with facts among them.

    Arguments:
        model, dtype: what `LoadedModel.load` takes.
        fingerprint: of the model's numbers: another model under the same name is refused.
        trained_length: tokens.
        method: a scheme's text, or "plain".
        document: what the text is made of.
        length: of the text, tokens.
        tail: how many last tokens of the text hold no facts, and are scored.
        seed: of the facts.

    A kind is the name of its file; stored results contain it, so that it never changes. `words` is what a user sees
    while it is measured, and may name arguments.
    """

    words: ClassVar[str]

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    method: str
    document: Document
    length: int
    tail: int
    seed: int

    @staticmethod
    def of(arguments: Mapping[str, Any]) -> "Measurement":
        """Return the measurement of these JSON arguments.

        Errors: InputError for an unknown kind.
        """
        own = {**arguments, "document": Document(**arguments["document"])}
        if (name := own.pop("kind")) not in kinds():
            raise InputError(f"no measurement of kind {name!r}; there are {', '.join(kinds())}")
        return kinds()[name](**own)

    @property
    def kind(self) -> str:
        """The name of its file."""
        return name_of(type(self))

    @property
    def arguments(self) -> dict[str, Any]:
        """Its JSON arguments."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def key(self) -> str:
        """The name of its record: equal arguments, equal key."""
        return key_of(self.arguments)

    def __str__(self) -> str:
        return f"{self.method} · {self.words.format(**vars(self))}"

    def readings(self) -> list[int]:
        """Return how many tokens each forward pass reads; questions are left out."""
        return [self.length]

    def is_far(self, distance: int) -> bool:
        """Whether a fact so many tokens back counts: one beyond the trained length, or any in a text within it."""
        return distance > self.trained_length or self.length <= self.trained_length

    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return the result of this measurement; the method is on the model already."""
        return self.result(model.reader, self.text(model.tokenizer, model.opening), model.opening)

    def text(self, tokenizer: Any, opening: Sequence[int]) -> Example:
        """Return the text that is asked about, with its questions; it depends on nothing but document, length and seed.

        Arguments:
            opening: the special tokens that the tokenizer puts before every text.
        """
        material = Material(tokenizer, self.document.tokens(tokenizer), tuple(opening))
        return FactRetrieval(tail=self.tail).example(material, self.length, f"{self.seed}/{self.document.digest}")

    @abstractmethod
    def result(self, reader: Reader, text: Example, opening: Sequence[int]) -> dict[str, Any]:
        """Ask the model; `opening` holds the special tokens that its tokenizer puts before every text."""


@remember(None)
def kinds() -> dict[str, type[Measurement]]:
    """Return every kind of measurement by its name, found by walking the folder."""
    return registered("longspan.measure.kinds", Measurement)


def measure(arguments: Mapping[str, Any], model: LoadedModel | None = None) -> dict[str, Any]:
    """Return the record of one measurement.

    Arguments:
        arguments: JSON, as `Measurement.arguments` gives them.
        model: the model that they name, if it is loaded already; loaded for this call otherwise.

    Errors: InputError for arguments that name no measurement, or a model or document that has changed.
    """
    asked = Measurement.of(arguments)
    return record_of(asked, model or LoadedModel.load(asked.model, asked.dtype))
