"""A batch: what one step reads and what it is asked about it; a reading makes one from the step's number alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step reads.

    Arguments:
        inputs: token ids that the model is given.
        targets: the right token at each place.
        asked: the places whose right token is to be predicted.
        positions: where each document of a row begins anew, 0, 1, 2 …; None where each row is one document.
        real: the places that are no padding; None where there is none.
        unseen: whether padding lies behind all that is asked, where no causal token sees it: only layers that follow
            what they read need to know of it.
    """

    inputs: Int64[Tensor, "rows tokens"]
    targets: Int64[Tensor, "rows tokens"]
    asked: Bool[Tensor, "rows tokens"]
    positions: Int64[Tensor, "rows tokens"] | None = None
    real: Bool[Tensor, "rows tokens"] | None = None
    unseen: bool = False

    @property
    def read(self) -> int:
        """Tokens that are no padding."""
        return self.inputs.numel() if self.real is None else int(self.real.sum())

    def parts(self, count: int) -> Iterator["Batch"]:
        """Yield the rows in `count` equal parts."""
        size = len(self.inputs) // count
        for start in range(0, len(self.inputs), size):
            yield self.of(lambda x, start=start: x[start : start + size])

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on a device; the CPU does not wait until it is there."""
        return self if device.type == "cpu" else self.of(lambda x: moved(x, device))

    def of(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch of changed tensors."""
        every = self.inputs, self.targets, self.asked, self.positions, self.real
        inputs, targets, asked, positions, real = (x if x is None else change(x) for x in every)
        assert inputs is not None
        assert targets is not None
        assert asked is not None
        return Batch(inputs, targets, asked, positions, real, self.unseen)


def moved(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device, without waiting for it."""
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


class Reading(ABC):
    """What all steps read: a function of the seed and the step, so that a resumed run reads the same."""

    @abstractmethod
    def batch(self, step: int, count: int) -> Batch:
        """Return what a step reads, in `count` rows."""

    @property
    def packs(self) -> bool:
        """Whether some rows hold several documents, which must not see each other."""
        return False

    def described(self) -> dict[str, Any]:
        """Return what is worth knowing of it, for `run.json`."""
        return {}
