"""A part: the answer to one slot, as a value.

A part is a frozen dataclass of numbers, strings, booleans and tuples, so that equality, hashing, repr and cache keys
come for free. It knows no model, no device and no backend. A field that is None is *open*: `fill` sets it from a
model's geometry and the wanted length.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from sys import float_info
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from longspan.errors import SchemeError, shown
from longspan.geometry import Geometry

_T = TypeVar("_T")

Weights = Mapping[str, Tensor]
"""Learned numbers of one part, by name."""

UNBOUNDED = 2**62
"""An order that no document reaches, small enough that offsets can be added to it in int64."""

INFINITE = "infinite"
"""Key of a field's metadata: inf is a setting of its method, for example the one that changes nothing."""


def representable(value: object) -> bool:
    """Whether a tensor can hold a value: not a NaN, not an infinity, not a whole number above 2^62 in size."""
    if not isinstance(value, int | float):
        return True
    return abs(value) <= (UNBOUNDED if isinstance(value, int) else float_info.max)


@dataclass(frozen=True)
class Part(ABC):
    """One answer to one slot."""

    slot: ClassVar[str]
    optional_weights: ClassVar[bool] = False
    """True where learned numbers may be left out because their initial value is the plain method."""

    def __post_init__(self) -> None:
        """Refuse numbers that are not finite, and whole numbers that int64 cannot add to an order.

        A subclass that checks its own fields calls this first. A field with `INFINITE` in its metadata may be inf.
        """
        for f in fields(self):
            value = getattr(self, f.name)
            for number in value if isinstance(value, tuple) else (value,):
                holds = representable(number) or (number == inf and INFINITE in f.metadata)
                self.require(holds, f.name, "at most 2^62" if isinstance(number, int) else "finite")

    @property
    def name(self) -> str:
        """The method's name, which is the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def fill(self, geometry: Geometry, length: int) -> "Part":
        """The same part with its open fields set from a model's geometry and the wanted length in tokens.

        Errors: SchemeError for a length that is not 1 … 2^62.
        """
        if not 1 <= length <= UNBOUNDED:
            raise SchemeError(f"the wanted length must be 1 … 2^62 tokens, got {shown(length)}")
        trained_length = getattr(self, "trained_length", None) or geometry.trained_length
        known = {
            "theta": geometry.theta,
            "trained_length": trained_length,
            "factor": max(1.0, length / trained_length),
        }
        return replace(self, **{name: known[name] for name in self.open_fields() if name in known})

    def open_fields(self) -> tuple[str, ...]:
        """Names of the fields that are still None."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is None)

    def known(self, value: _T | None, name: str) -> _T:
        """`value` of the field `name`.

        Errors: SchemeError where the field is open.
        """
        if value is None:
            raise SchemeError(
                f"{self.name} needs {name}: write {self.name}({name}=...), or parse with a geometry and a length"
            )
        return value

    def require(self, holds: bool, name: str, allowed: str) -> None:
        """Refuse the value of the field `name` unless `holds`.

        Errors: SchemeError, which says what is allowed and what was given.
        """
        if not holds:
            raise SchemeError(f"{self.name}: {name} must be {allowed}, got {shown(getattr(self, name))}")

    def require_at_least(self, least: int, name: str) -> None:
        """Refuse a value of the field `name` below `least`; an open field passes.

        Errors: SchemeError.
        """
        value = getattr(self, name)
        self.require(value is None or value >= least, name, f"at least {least}")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Learned numbers at the start of training; empty for a method that learns nothing."""
        return {}

    @property
    def shift_period(self) -> int | None:
        """Shifting all orders and positions by a multiple of this changes nothing; None where every shift matters."""
        return 1

    def changes_nothing(self, length: int) -> bool:
        """Whether this setting acts as if its slot were empty, on texts of up to `length` tokens."""
        return False
