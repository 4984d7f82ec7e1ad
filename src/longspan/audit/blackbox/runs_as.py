"""A Python function in the place of a server: `--runs-as module:function`, for libraries and tests."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from longspan.audit.blackbox.answer import Answer, echoed
from longspan.errors import InputError


@dataclass(frozen=True)
class Function:
    """A function that reads token ids and returns one log-probability per token, nats; NaN or None for the first one.

    Arguments:
        function: from a list of ids to as many numbers.
    """

    function: Callable[[Sequence[int]], Sequence[float | None]]

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """A text is one request."""
        return [ids]

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return what the function says about the ids."""
        return echoed(ids, list(self.function(list(ids))))


def function_named(name: str) -> Function:
    """Return the function that `module:function` names; modules of the current folder are found as well.

    Errors: InputError where there is no such module or function.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InputError(f"--runs-as takes module:function, got {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--runs-as {name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise InputError(f"--runs-as {name!r} is no function, got {type(found).__name__}")
    answers: Any = found
    return Function(answers)
