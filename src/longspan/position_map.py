"""Position maps: functions of a position that are values, so that equal ones compare equal and print themselves.

Identity()                    p
Constant(c)                   c
Shift(c)                      p + c
Divide(k, shift=c)            p / k + c               float64, because float32 cannot hold long fractional positions
Floor(g, shift=c)             ⌊p / g⌋ + c
Modulo(t, shift=c, limit=m)   min(p mod t + c, m)
Clamp(m)                      min(p, m)
PerSection((a, b, …))         a(p), b(p), … for the sections of the channel pairs, along the last axis
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class PositionMap(ABC):
    """A map of positions (int64 or float64), elementwise but for `PerSection`."""

    @property
    def sections(self) -> int:
        """Sections of the channel pairs that have mapped positions of their own; 1 where all pairs share one."""
        return 1

    @abstractmethod
    def __call__(self, position: Tensor) -> Tensor:
        """The mapped positions, of the same shape; one last axis of `sections` in place of 1 for `PerSection`."""


@dataclass(frozen=True)
class Identity(PositionMap):
    """The position itself."""

    def __call__(self, position: Tensor) -> Tensor:
        """p."""
        return position


@dataclass(frozen=True)
class Constant(PositionMap):
    """One position for all."""

    value: int

    def __call__(self, position: Tensor) -> Tensor:
        """c."""
        return torch.full_like(position, self.value)


ZERO = Constant(0)


@dataclass(frozen=True)
class Shift(PositionMap):
    """A position so many tokens on."""

    by: int

    def __call__(self, position: Tensor) -> Tensor:
        """p + c."""
        return position + self.by


@dataclass(frozen=True)
class Divide(PositionMap):
    """Positions that grow k times slower."""

    k: float
    shift: float = 0.0

    def __call__(self, position: Tensor) -> Tensor:
        """p / k + c."""
        return position.double() / self.k + self.shift


@dataclass(frozen=True)
class Floor(PositionMap):
    """Groups of tokens that share a position."""

    group: int
    shift: int = 0

    def __call__(self, position: Tensor) -> Tensor:
        """⌊p / g⌋ + c."""
        return position // self.group + self.shift


@dataclass(frozen=True)
class Modulo(PositionMap):
    """The position inside a block of so many tokens."""

    period: int
    shift: int = 0
    limit: int | None = None

    def __call__(self, position: Tensor) -> Tensor:
        """min(p mod t + c, m)."""
        shifted = position % self.period + self.shift
        return shifted if self.limit is None else shifted.clamp(max=self.limit)


@dataclass(frozen=True)
class Clamp(PositionMap):
    """No position beyond a limit."""

    limit: int

    def __call__(self, position: Tensor) -> Tensor:
        """min(p, m)."""
        return position.clamp(max=self.limit)


@dataclass(frozen=True)
class PerSection(PositionMap):
    """A map for each section of the channel pairs; `Spectrum.in_sections` says which pairs a section holds."""

    maps: tuple[PositionMap, ...]

    @property
    def sections(self) -> int:
        """As many as there are maps."""
        return len(self.maps)

    def __call__(self, position: Shaped[Tensor, "*batch 1"]) -> Shaped[Tensor, "*batch sections"]:
        """a(p), b(p), … along the last axis."""
        return torch.cat([each(position) for each in self.maps], -1)
