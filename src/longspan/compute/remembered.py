"""What one step computed and the next will ask for again: tensors by the values they were computed from."""

from collections.abc import Callable, Hashable

from torch import Tensor


class Remembered:
    """The results used last, as many as a budget of bytes holds.

    Arguments:
        budget: bytes of all results together; one result is always kept.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: dict[Hashable, tuple[Tensor, ...]] = {}

    def get(self, key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `make` gave for this key, or gives now."""
        found = self._kept.pop(key, None)
        new = found is None
        found = make() if found is None else found
        self._kept[key] = found  # the last one is the one used last
        while new and len(self._kept) > 1 and self._bytes() > self.budget:
            self._kept.pop(next(iter(self._kept)))
        return found

    def _bytes(self) -> int:
        return sum(tensor.nbytes for tensors in self._kept.values() for tensor in tensors)


def spelled(*tensors: Tensor) -> tuple[bytes, ...]:
    """The numbers of small tensors as a part of a key."""
    return tuple(tensor.detach().double().cpu().numpy().tobytes() for tensor in tensors)
