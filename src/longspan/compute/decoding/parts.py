"""Keys cut into parts of one size, which are read side by side."""

from math import gcd
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

WORTH = 256
"""Keys that pay for a thread of their own."""


class Parts(NamedTuple):
    """Keys in `number` parts of `size`, each `step` behind the one before: all threads have the same to do.

    Where parts overlap, those behind show the keys that are in two.
    """

    number: int
    size: int
    step: int

    @classmethod
    def of(cls, keys: int, heads: int, threads: int) -> "Parts":
        """As many as keep all threads busy, where that is worth it."""
        number = max(1, min(threads // gcd(threads, heads), keys // WORTH))
        step = keys // number
        return cls(number, keys - (number - 1) * step, step)

    def side_by_side(self, x: Tensor, first: int, axis: int = 2) -> Tensor:
        """The parts of an axis, from `first` on, as the batch where they are several: a view."""
        if self.number == 1:
            return x.narrow(axis, first, self.size)
        stride, shape = x.stride(), list(x.shape)
        shape[0], shape[axis] = self.number, self.size
        return x.as_strided(shape, (self.step * stride[axis], *stride[1:]), x.storage_offset() + first * stride[axis])

    def hidden(self, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "parts 1 1 keys"] | None:
        """−inf for the keys that a part leaves to the next; None where there are none."""
        if self.size == self.step:
            return None
        hidden = torch.zeros(self.number, 1, 1, self.size, dtype=dtype, device=device)
        hidden[:-1, ..., self.step :] = -float("inf")
        return hidden
