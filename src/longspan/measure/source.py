"""Source: which model is measured, how far it was trained, and in which dtype it is run."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from longspan.errors import InputError
from longspan.geometry import Geometry
from longspan.measure.loading import load
from longspan.measure.measurement import Bench
from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
from longspan.pretrained.anatomy.config import geometry

DTYPES = ("float32", "bfloat16", "float16")
TRIAL = 512
"""Tokens on which dtypes are compared."""
TOLERATED = 0.01
"""Nats per token by which a faster dtype may change the loss."""


def geometry_of(model: Any, trained_length: int | None = None) -> Geometry:
    """Sizes of a model, and the length it was trained on unless told otherwise."""
    found = geometry(model.config)
    return found if trained_length is None else replace(found, trained_length=trained_length)


def choose_dtype(name: str, text: Sequence[int]) -> str:
    """The faster of float32 and bfloat16 that keeps the loss of a text within `TOLERATED` of float32's."""
    losses, seconds = {}, {}
    for dtype in ("float32", "bfloat16"):
        reader = Reader(load(name, dtype))
        ids = reader.ids(text[:TRIAL])
        reader.hidden(ids)  # the first call also pays for warming up
        began = perf_counter()
        losses[dtype] = float(token_nll(reader, ids).mean())
        seconds[dtype] = perf_counter() - began
    near = abs(losses["bfloat16"] - losses["float32"]) <= TOLERATED
    return "bfloat16" if near and seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"


def check_length(length: int, geometry: Geometry) -> None:
    """Raise unless there is something to extend."""
    if length <= geometry.trained_length:
        raise InputError(
            f"--to {length} changes nothing: the model was trained on {geometry.trained_length} tokens; "
            "give a longer --to, or --trained-length if that number is wrong"
        )


def check_tokenizer(bench: Bench) -> None:
    """Raise where the tokenizer makes ids that the model does not know."""
    size = max(bench.tokenizer.get_vocab().values(), default=0) + 1
    used = max(bench.tokenizer("a b c . 0 é")["input_ids"], default=0)
    if used >= bench.reader.known or size > 2 * bench.reader.known:
        raise InputError(
            f"the tokenizer has {size} tokens and the model {bench.reader.known}: they do not belong together"
        )
