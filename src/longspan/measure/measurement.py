"""One measurement: a pure function of JSON arguments to a JSON record, so that a grid can run on any machines.

`longspan.measure.kinds` says what can be asked. The record holds the arguments, their key, the result, or `failed` with
the reason, seconds, peak memory and versions.
"""

import hashlib
import math
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from longspan.errors import InputError, RefusalError
from longspan.measure.cost import Cost
from longspan.measure.kinds import PLAIN, Measurement
from longspan.measure.loading import load, load_tokenizer
from longspan.measure.reader import Reader
from longspan.memo import remember
from longspan.pretrained.attach import extend
from longspan.tasks.documents import opening
from longspan.tasks.retrieval import haystack


def measure(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one measurement; the model is loaded once per process.

    Errors: InputError for arguments that name no measurement, or a model or document that has changed.
    """
    asked = Measurement.of(arguments)
    return bench(asked.model, asked.dtype, asked.fingerprint).measure(asked)


@remember(1)
def loaded(model: str, dtype: str) -> "Bench":
    """A model on the bench; one at a time."""
    return Bench(load(model, dtype), load_tokenizer(model))


def bench(model: str, dtype: str, expected: str | None = None) -> "Bench":
    """A loaded model on the bench, which must be the one that is expected."""
    found = loaded(model, dtype)
    if expected is not None and found.fingerprint != expected:
        raise InputError(f"{model} is not the model it was: its fingerprint is {found.fingerprint}, not {expected}")
    return found


class Bench:
    """A model to be measured; it stays attached to a method until another one is wanted."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.reader = Reader(model)
        self.opening = opening(tokenizer)
        self.fingerprint = fingerprint(model)
        self._method: str | None = None

    def measure(self, asked: Measurement) -> dict[str, Any]:
        """The record of one measurement."""
        failed = self._refusal(asked.method)
        with Cost() as cost:
            result = self._result(asked) if failed is None else None
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

    def attach(self, method: str) -> None:
        """Put a method on the model, in place of the one that is on it.

        The plain model is attached to its own rotation: its sliding layers then make no mask of the whole text.
        """
        if method != self._method:
            extend(self.model, "rope" if method == PLAIN else method)
            self._method = method

    def _refusal(self, method: str) -> str | None:
        """Put a method on the model; if it cannot be had, why."""
        try:
            self.attach(method)
        except RefusalError as error:
            return f"refused: {error}"
        return None

    def _result(self, asked: Measurement) -> dict[str, Any]:
        document = asked.document.tokens(self.tokenizer)
        seed = f"{asked.seed}/{asked.document.digest}"
        text = haystack(document, self.tokenizer, asked.length, seed, self.opening, tail=asked.tail)
        return asked.result(self.reader, text, self.opening)


def fingerprint(model: Any) -> str:
    """A digest of every parameter's name, shape and some of its numbers."""
    state = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        numbers = parameter.detach().flatten()
        some = numbers[:: max(1, len(numbers) // 64)].float().cpu()
        state.update(f"{name} {tuple(parameter.shape)} {some.tolist()}".encode())
    return state.hexdigest()[:16]


@remember(1)
def versions() -> dict[str, str]:
    """What computed it."""
    found = {name: version(name) for name in ("longspan", "torch", "transformers") if _installed(name)}
    return {"python": platform.python_version(), **found}


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def _finite(result: Any) -> bool:
    if isinstance(result, float):
        return math.isfinite(result)
    if isinstance(result, Mapping):
        return all(_finite(value) for value in result.values())
    if isinstance(result, list):
        return all(_finite(value) for value in result)
    return True
