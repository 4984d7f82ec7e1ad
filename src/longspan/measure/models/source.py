"""Source: how far a model was trained, and in which dtype it is measured."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from longspan.geometry import Geometry
from longspan.measure.hardware.device import AUTO, device_named, placed
from longspan.measure.models.loading import load
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from longspan.pretrained.anatomy.config import geometry

DTYPES = ("float32", "bfloat16", "float16")
TRIAL = 512
"""Tokens on which dtypes are compared."""
TOLERATED = 0.01
"""Nats per token by which a faster dtype may change the loss."""


def geometry_of(model: Any, trained_length: int | None = None) -> Geometry:
    """Return the sizes of a model; a trained length that is given replaces that of its config."""
    found = geometry(model.config)
    return found if trained_length is None else replace(found, trained_length=trained_length)


def faster_dtype(name: str, text: Sequence[int], device: str = AUTO) -> str:
    """Try a text in float32 and bfloat16, and return the faster one whose loss is within `TOLERATED` of float32's."""
    losses, seconds = {}, {}
    for dtype in ("float32", "bfloat16"):
        reader = Reader(placed(load(name, dtype), device_named(device)))
        ids = reader.ids(text[:TRIAL])
        reader.hidden(ids)  # the first call also pays for warming up
        began = perf_counter()
        losses[dtype] = float(token_nll(reader, ids).mean())
        seconds[dtype] = perf_counter() - began
    near = abs(losses["bfloat16"] - losses["float32"]) <= TOLERATED
    return "bfloat16" if near and seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"
