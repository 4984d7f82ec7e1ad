"""What a cache keeps of the texts that it has read: bytes, and what codes lose of far keys and values."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from torch import Tensor

from longspan.pretrained.states.compressing import KeptRows


def kept(cache: Any) -> dict[str, Any]:
    """Return `cache_bytes`, and under a compressed memory `lost`, means over layers and rows; empty without layers.

    Room that is reserved for later tokens is not counted.
    `lost` are two shares, of far keys and of far values in squared numbers: what lies between them and their codes.
    """
    layers = getattr(cache, "layers", None)
    if layers is None:
        return {}
    held = (each for layer in layers for each in vars(layer).items())
    found: dict[str, Any] = {"cache_bytes": sum(_bytes(value) for name, value in held if not name.startswith("_"))}
    states = [layer.state for layer in layers if isinstance(getattr(layer, "state", None), KeptRows)]
    shares = [row.codes.lost() for state in states for row in state.rows if row is not None]
    return {**found, "lost": [fmean(each) for each in zip(*shares, strict=True)]} if shares else found


def _bytes(value: Any) -> int:
    """The bytes of a tensor, of a state, or of several; views of one tensor count as what they show."""
    if isinstance(value, dict | list | tuple):
        return sum(map(_bytes, _each(value)))
    held = getattr(value, "nbytes", 0)
    return held if isinstance(value, Tensor) or isinstance(held, int) else 0


def _each(values: Any) -> Iterator[Any]:
    yield from values.values() if isinstance(values, dict) else values
