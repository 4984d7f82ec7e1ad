"""What one step computed and the next will ask for again: tensors by the values they were computed from."""

from collections.abc import Callable, Hashable

from torch import Tensor

BESIDES = 2**12
"""Bytes that a result takes besides its numbers: keys and tensors are objects, and a step's angles are but a few."""


class Remembered:
    """The results used last, as many as a budget of bytes holds.

    Arguments:
        budget: bytes of all results together; one result is always kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: dict[Hashable, tuple[Tensor, ...]] = {}
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `make` gave for this key, or gives now."""
        found = self._kept.pop(key, None)
        if found is None:
            found = make()
            self._bytes += _size(found)
        self._kept[key] = found  # the last one is the one used last
        while len(self._kept) > 1 and self._bytes > self.budget:
            self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
        return found


def _size(tensors: tuple[Tensor, ...]) -> int:
    return BESIDES + sum(tensor.nbytes for tensor in tensors)


def spelled(*tensors: Tensor) -> tuple[bytes, ...]:
    """The numbers of small tensors as a part of a key."""
    return tuple(tensor.detach().double().cpu().numpy().tobytes() for tensor in tensors)
