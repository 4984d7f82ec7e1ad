"""What one step computed and the next will ask for again: tensors by the values they were computed from."""

from collections.abc import Callable, Hashable
from threading import Lock

from torch import Tensor

BESIDES = 2**12
"""Bytes that a result takes besides its numbers: keys and tensors are objects, and a step's angles are but a few."""


class Remembered:
    """The results used last, as many as a budget of bytes holds; threads may ask at the same time.

    Arguments:
        budget: bytes of all results together; one result is always kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: dict[Hashable, tuple[Tensor, ...]] = {}
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `make` gave for this key, or gives now; of threads that ask for it at once, each may have to make it."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found  # the last one is the one used last
                return found
        made = make()  # without the lock: it takes long, and it may ask for results of its own
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                found = made
                self._bytes += _size(found)
            self._kept[key] = found
            while len(self._kept) > 1 and self._bytes > self.budget:
                self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
        return found

    @property
    def nbytes(self) -> int:
        """Bytes that the results take which are kept now."""
        return self._bytes


def _size(tensors: tuple[Tensor, ...]) -> int:
    return BESIDES + sum(tensor.nbytes for tensor in tensors)


def spelled(*tensors: Tensor) -> tuple[bytes, ...]:
    """The numbers of small tensors as a part of a key."""
    return tuple(tensor.detach().double().cpu().numpy().tobytes() for tensor in tensors)
