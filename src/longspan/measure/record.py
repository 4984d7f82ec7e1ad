"""Make a measurement and return its record: arguments, key, result or the reason why there is none, cost, versions."""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from longspan.errors import InputError, RefusalError
from longspan.measure.hardware.cost import Cost
from longspan.measure.hardware.machine import versions
from longspan.measure.models.model import LoadedModel


@runtime_checkable
class Asked(Protocol):
    """Whatever can be asked of a model, and kept under a key."""

    @property
    def model(self) -> str:
        """What `LoadedModel.load` takes."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the model's numbers."""
        ...

    @property
    def method(self) -> str:
        """A scheme's text, or "plain"."""
        ...

    @property
    def key(self) -> str:
        """The name of its record."""
        ...

    @property
    def arguments(self) -> dict[str, Any]:
        """Its JSON arguments."""
        ...

    def readings(self) -> list[int]:
        """Return how many tokens each forward pass reads."""
        ...

    def ask(self, model: LoadedModel) -> dict[str, Any]:
        """Return the result; the method is on the model already."""
        ...


def key_of(arguments: Mapping[str, Any]) -> str:
    """Return the name of the record of some JSON arguments: equal arguments, equal key, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]


def record_of(asked: Asked, model: LoadedModel) -> dict[str, Any]:
    """Make a measurement with a loaded model and return its record.

    Errors: InputError where the model or the document is not the one that was asked about.
    """
    if model.fingerprint != asked.fingerprint:
        raise InputError(
            f"{asked.model} is not the model it was: its fingerprint is {model.fingerprint}, not {asked.fingerprint}; "
            "give a new --out"
        )
    failed = _refusal(asked, model)
    with Cost(model.reader.device) as cost:
        result = asked.ask(model) if failed is None else None
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
        "device": str(model.reader.device),
    }
    return record if failed is None else {**record, "failed": failed}


def _refusal(asked: Asked, model: LoadedModel) -> str | None:
    """Attach the method; if the model refuses it, the reason."""
    try:
        model.attach(asked.method)
    except RefusalError as error:
        return f"refused: {error}"
    return None


def _finite(result: Any) -> bool:
    if isinstance(result, float):
        return math.isfinite(result)
    if isinstance(result, Mapping):
        return all(_finite(value) for value in result.values())
    if isinstance(result, list):
        return all(_finite(value) for value in result)
    return True
