"""One layer of a cache of transformers that holds a state of fixed size in the place of keys and values."""

from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from longspan.errors import RefusalError


class State(Protocol):
    """What is known of the tokens that each row of a batch has read."""

    def select(self, rows: Tensor, /) -> Any:
        """Return the state of some rows, in their order."""
        ...


class StateLayer(DynamicLayer):
    """A state, and keys without channels, which count the tokens read."""

    is_croppable = False
    holds: ClassVar[str] = "a state"
    """What it holds, in words."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Any = None

    def get_seq_length(self) -> int:
        """Return the tokens read; transformers would take keys without channels for an empty layer."""
        return 0 if self.keys is None else self.keys.shape[-2]

    def reset(self) -> None:
        """Forget all tokens."""
        self.keys, self.values, self.state, self.is_initialized = None, None, None, False

    def crop(self, tokens_to_remove: int) -> None:
        """A state cannot be taken back.

        Errors: RefusalError where tokens are to be removed.
        """
        if tokens_to_remove:
            raise RefusalError(f"{self.holds} cannot forget its last tokens: decode without assistance")

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows of a batch in another order."""
        self._select(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self._select(torch.arange(len(self._counted())).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, by their numbers or by a mask of all."""
        self._select(indices.nonzero()[:, 0] if indices.dtype == torch.bool else indices)

    def _counted(self) -> Tensor:
        return torch.empty(0) if self.keys is None else self.keys

    def _select(self, rows: Tensor) -> None:
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows.to(self.keys.device)], self.values[rows.to(self.values.device)]
        self.state = None if self.state is None else self.state.select(rows)


_Layer = TypeVar("_Layer", bound=StateLayer)


def state_layer(cache: Cache, index: int, kind: type[_Layer]) -> _Layer:
    """Return the layer of a cache that holds a state; an empty one takes the place of an empty layer of keys.

    Errors: RefusalError for a cache that has no such layer there.
    """
    held = cache.layers
    if len(held) == index and isinstance(cache, DynamicCache):
        held.append(kind())
    found = held[index] if len(held) > index else None
    if type(found) is DynamicLayer and not found.get_seq_length():
        held[index] = found = kind()
    if isinstance(found, kind):
        return found
    if isinstance(found, DynamicLayer) and found.get_seq_length():
        raise RefusalError(f"this cache does not hold {kind.holds} for layer {index}: start with an empty cache")
    raise RefusalError(f"{kind.holds} lies in a DynamicCache, not in a {type(cache).__name__}")
