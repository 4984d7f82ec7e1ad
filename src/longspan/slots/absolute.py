"""What is added to a token's embedding for its position? The slot `absolute`, before the first layer.

    x(i) = embedding(token i) + e(p_i)

It is no part of a scheme: a scheme is what one attention layer does. A design has one beside its plan.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.errors import SchemeError
from longspan.slots.part import Weights


@dataclass(frozen=True)
class Absolute(ABC):
    """One answer; like a part it is a frozen value, and a field that is None is open until `fill`."""

    @property
    def name(self) -> str:
        """The method's name, which is the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def fill(self, trained_length: int, spread: float) -> Self:
        """The same answer with its open fields set.

        Arguments:
            trained_length: L, tokens.
            spread: the standard deviation of the embeddings at the start of training.
        """
        known = {"length": trained_length, "spread": spread}
        return replace(
            self, **{f.name: known[f.name] for f in fields(self) if f.name in known and getattr(self, f.name) is None}
        )

    def initial_weights(self, width: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Learned numbers at the start of training; empty for an encoding that learns nothing."""
        return {}

    @abstractmethod
    def vectors(
        self, positions: Shaped[Tensor, "*tokens"], width: int, weights: Weights, *, training: bool = False
    ) -> Float[Tensor, "*tokens width"]:
        """What is added to the embeddings at `positions`.

        Arguments:
            positions: whole or fractional numbers from 0 on.
            width: D, channels of an embedding.
            weights: learned numbers, as `initial_weights` names them.
            training: whether the model is being trained, when nothing may be read that training has not reached.

        Errors: ShapeError for a position without a vector and a width that cannot be.
        """

    def require(self, holds: bool, name: str, allowed: str) -> None:
        """Refuse the value of a field unless `holds`; an open field passes.

        Errors: SchemeError, which says what is allowed and what was given.
        """
        value = getattr(self, name)
        if value is not None and not holds:
            raise SchemeError(f"{self.name}: {name} must be {allowed}, got {value}")
