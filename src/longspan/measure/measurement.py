"""One measurement: a pure function of JSON arguments to a JSON record, so that a grid can run on any machines.

Arguments of every kind:
    kind             "context", "position" or "retrieval"
    model, dtype     what `longspan.measure.loading.load` takes
    fingerprint      of the model's numbers: another model under the same name is refused
    trained_length   tokens
    method           a scheme's text, or "plain"
    document         path, start, length, digest
    read             tokens fed at most, the last ones (truncation); null for all
Of kind "context": context, tail. Of "position": tail. Of "retrieval": length, seed, fresh.

The record holds the arguments, their key, the result, or `failed` with the reason, seconds, peak memory and versions.
"""

import hashlib
import json
import math
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from longspan.errors import InputError, RefusalError
from longspan.measure.cost import Cost
from longspan.measure.loading import load, load_tokenizer
from longspan.measure.loss import loss_at_context, loss_by_position
from longspan.measure.reader import Reader
from longspan.measure.retrieval import retrieval
from longspan.pretrained.attach import attached
from longspan.tasks.documents import Document, opening
from longspan.tasks.retrieval import haystack, truncated

Arguments = Mapping[str, Any]
PLAIN = "plain"


def key(arguments: Arguments) -> str:
    """The name of a measurement: equal arguments, equal key."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:16]


def measure(arguments: Arguments) -> dict[str, Any]:
    """The record of one measurement; the model is loaded once per process.

    Errors: InputError for arguments that name no measurement, or a model or document that has changed.
    """
    return bench(arguments["model"], arguments["dtype"], arguments["fingerprint"]).measure(arguments)


@lru_cache(maxsize=1)
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
        self._method = PLAIN
        self._attachment: AbstractContextManager[Any] = nullcontext()

    def measure(self, arguments: Arguments) -> dict[str, Any]:
        """The record of one measurement."""
        failed = self._refusal(arguments["method"])
        with Cost() as cost:
            result = self._result(arguments) if failed is None else None
        if failed is None and not _finite(result):
            result, failed = None, "the model returned NaN or infinity"
        record = {
            "key": key(arguments),
            "arguments": dict(arguments),
            "result": result,
            "seconds": round(cost.seconds, 4),
            "peak_bytes": cost.peak_bytes,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": versions(),
        }
        return record if failed is None else {**record, "failed": failed}

    def attach(self, method: str) -> None:
        """Put a method on the model, in place of the one that is on it."""
        if method != self._method:
            self._attachment.__exit__(None, None, None)
            self._method, self._attachment = PLAIN, nullcontext()
            if method != PLAIN:
                attachment = attached(self.model, method)
                attachment.__enter__()
                self._method, self._attachment = method, attachment

    def _refusal(self, method: str) -> str | None:
        """Put a method on the model; if it cannot be had, why."""
        try:
            self.attach(method)
        except RefusalError as error:
            return f"refused: {error}"
        return None

    def _result(self, arguments: Arguments) -> dict[str, Any]:
        document = Document(**arguments["document"]).tokens(self.tokenizer)
        if arguments["kind"] == "context":
            return loss_at_context(self.reader, document, arguments["context"], arguments["tail"], self.opening)
        if arguments["kind"] == "position":
            trained_length = arguments["trained_length"]
            return loss_by_position(self.reader, document, trained_length, arguments["tail"], self.opening)
        if arguments["kind"] == "retrieval":
            seed = f"{arguments['seed']}/{arguments['document']['digest']}"
            hay = haystack(document, self.tokenizer, arguments["length"], seed, self.opening)
            if arguments["read"] is not None:
                hay = truncated(hay, arguments["read"], self.opening)
            return retrieval(self.reader, hay, arguments.get("fresh", False))
        raise InputError(f"no measurement of kind {arguments['kind']!r}: context, position or retrieval")


def fingerprint(model: Any) -> str:
    """A digest of every parameter's name, shape and some of its numbers."""
    state = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        numbers = parameter.detach().flatten()
        some = numbers[:: max(1, len(numbers) // 64)].float().cpu()
        state.update(f"{name} {tuple(parameter.shape)} {some.tolist()}".encode())
    return state.hexdigest()[:16]


@lru_cache(maxsize=1)
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
