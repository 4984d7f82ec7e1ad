"""One measurement: a pure function of JSON arguments to a JSON record, so that a grid can run on any machines.

What can be asked is a `Measurement`; its kinds are the files of `longspan/measure/kinds`. The record holds the
arguments, their key, the result, or `failed` with the reason, seconds, peak memory and versions.
"""

import hashlib
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from longspan.errors import InputError, RefusalError
from longspan.measure.cost import Cost
from longspan.measure.documents import Document
from longspan.measure.machine import versions
from longspan.measure.model import LoadedModel
from longspan.measure.reader import Reader
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
        return hashlib.sha256(json.dumps(self.arguments, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.method} · {self.words.format(**vars(self))}"

    def readings(self) -> list[int]:
        """Return how many tokens each forward pass reads; questions are left out."""
        return [self.length]

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


def record_of(asked: Measurement, model: LoadedModel) -> dict[str, Any]:
    """Make a measurement with a loaded model and return its record.

    Errors: InputError where the model or the document is not the one that was asked about.
    """
    if model.fingerprint != asked.fingerprint:
        raise InputError(
            f"{asked.model} is not the model it was: its fingerprint is {model.fingerprint}, not {asked.fingerprint}; "
            "give a new --out"
        )
    failed = _refusal(asked, model)
    with Cost() as cost:
        result = _result(asked, model) if failed is None else None
    if failed is None and not _finite(result):
        result, failed = None, "the model returned NaN or infinity"
    record = {
        "key": asked.key,
        "arguments": asked.arguments,
        "result": result,
        "seconds": round(cost.seconds, 4),
        "peak_bytes": cost.peak_bytes,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
    }
    return record if failed is None else {**record, "failed": failed}


def _refusal(asked: Measurement, model: LoadedModel) -> str | None:
    """Attach the method; if the model refuses it, the reason."""
    try:
        model.attach(asked.method)
    except RefusalError as error:
        return f"refused: {error}"
    return None


def _result(asked: Measurement, model: LoadedModel) -> dict[str, Any]:
    material = Material(model.tokenizer, asked.document.tokens(model.tokenizer), model.opening)
    index = f"{asked.seed}/{asked.document.digest}"
    text = FactRetrieval(tail=asked.tail).example(material, asked.length, index)
    return asked.result(model.reader, text, model.opening)


def _finite(result: Any) -> bool:
    if isinstance(result, float):
        return math.isfinite(result)
    if isinstance(result, Mapping):
        return all(_finite(value) for value in result.values())
    if isinstance(result, list):
        return all(_finite(value) for value in result)
    return True
