"""llama.cpp in this process, for `longspan audit --runs-as running:log_probabilities`.

The same engine and flags as llama-cpp-python's server, without its sorting of the whole vocabulary for every token.
What to load stands in the environment, as JSON in LLAMA_CPP_SETTING: `model`, `flags`, and `kept` and `length` of a
gateway that cuts long texts.
"""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from longspan.audit.blackbox.prompt import Feeding


def gateway(kept: str, length: int) -> Feeding:
    """Return what a gateway leaves of a long text: its "last", its "first" tokens, or its two ends ("middle")."""
    half = length // 2
    return {"": Feeding(), "last": Feeding(back=length), "first": Feeding(length, 0), "middle": Feeding(half, half)}[
        kept
    ]


@lru_cache(1)
def _loaded(setting: str) -> tuple[Any, Feeding]:
    from llama_cpp import Llama

    found = json.loads(setting)
    fixed = {"n_ctx": 1024, "logits_all": True, "n_threads": 1, "verbose": False}
    return Llama(found["model"], **fixed, **found["flags"]), gateway(found["kept"], found["length"])


def log_probabilities(ids: Sequence[int]) -> list[float | None]:
    """Return ln p of each token given those before it; None for the first one, and for tokens that were cut away."""
    model, cut = _loaded(os.environ["LLAMA_CPP_SETTING"])
    read, source = cut.feed(ids, ())
    model.reset()
    model.eval(read)
    rows = np.array(model.scores[: len(read) - 1], dtype=np.float64)
    top = rows.max(1, keepdims=True)
    sums = top[:, 0] + np.log(np.exp(rows - top).sum(1))
    found: list[float | None] = [None] * len(ids)
    for row, place in enumerate(source[1:]):
        found[place] = float(rows[row, read[row + 1]] - sums[row])
    return found
