"""Reserved room: a cache of transformers that writes new tokens behind the old ones, where room is kept for them.

A `DynamicLayer` copies all its keys and values into larger tensors for each chunk, step and question. What the smaller
ones leave behind fits none of the larger ones, so that a text that is read in chunks would take hundreds of megabytes
more than its keys and values.
"""

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

SPARE = 256
"""Tokens of room beyond those that were asked for: questions, and answers that are written."""


def reserve(cache: Any, length: int) -> None:
    """Let the layers of a cache that hold every token keep room for `length` tokens; other layers stay as they are."""
    layers = getattr(cache, "layers", [])
    for number, layer in enumerate(layers):
        if type(layer) is DynamicLayer and layer.get_seq_length():
            layers[number] = ReservedLayer(layer, length)


class ReservedLayer(DynamicLayer):
    """A layer of a cache whose keys and values are the first tokens of larger tensors.

    Arguments:
        layer: whose keys and values it takes over; it is left empty.
        length: tokens that it keeps room for.
    """

    def __init__(self, layer: DynamicLayer, length: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._length, self._wholes = length, dict[str, Tensor]()
        for name in ("keys", "values"):
            setattr(self, name, self._written(name, getattr(layer, name), None))
            setattr(layer, name, None)
        layer.is_initialized = False

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write what comes, (batch, heads, tokens, channels), behind what there is, and return both together."""
        if self.keys is None or self.values is None:  # it was reset
            return super().update(key_states, value_states, *args, **kwargs)
        self.keys = self._written("keys", self.keys, key_states)
        self.values = self._written("values", self.values, value_states)
        return self.keys, self.values

    def _written(self, name: str, old: Tensor, new: Tensor | None) -> Tensor:
        """Return the old tokens and the new ones, as the first of a larger tensor."""
        start, stop = old.shape[-2], old.shape[-2] + (0 if new is None else new.shape[-2])
        whole = self._wholes.get(name)
        if whole is None or stop > whole.shape[-2] or not _begins(whole, old):
            room = max(self._length, stop) + SPARE
            whole = self._wholes[name] = old.new_empty(*old.shape[:-2], room, old.shape[-1])
            whole[..., :start, :] = old
        if new is not None:
            whole[..., start:stop, :] = new
        return whole[..., :stop, :]


def _begins(whole: Tensor, old: Tensor) -> bool:
    """Whether a tensor is the beginning of a larger one, and not a copy of some of its rows."""
    same = old.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    return same and old.shape[:-2] == whole.shape[:-2] and old.storage_offset() == whole.storage_offset()
