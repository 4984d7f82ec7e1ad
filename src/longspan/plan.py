"""A plan: which scheme in which layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from longspan.errors import SchemeError, shown
from longspan.geometry import Geometry
from longspan.scheme import Scheme

MOST_LAYERS = 2**16
"""The most layers that a recipe makes a plan for; no model has more."""


@dataclass(frozen=True)
class Plan:
    """Schemes by layer: the first for layer 0, and from the start again where there are more layers than schemes.

    Arguments:
        schemes: one per layer, or one period of them.
        num_layers: the only depth this plan is made for; None where it fits any.

    >>> Plan.everywhere(Scheme()).layer(5, num_layers=24) == Scheme()
    True
    """

    schemes: tuple[Scheme, ...]
    num_layers: int | None = None

    def __post_init__(self) -> None:
        if not self.schemes:
            raise SchemeError("a plan needs at least one scheme, got none")

    @classmethod
    def everywhere(cls, scheme: Scheme) -> "Plan":
        """A plan with the same scheme in all layers."""
        return cls((scheme,))

    @classmethod
    def tile(cls, pattern: str, /, **schemes: Scheme) -> "Plan":
        """A plan that repeats a pattern of letters over the layers; each letter names a scheme.

        >>> window, full = Scheme(), Scheme.of()
        >>> len(Plan.tile("SSSL", S=window, L=full).schemes)
        4

        Errors: SchemeError for a letter without a scheme, or a scheme without a letter.
        """
        for letter in pattern:
            if letter not in schemes:
                raise SchemeError(f"pattern {shown(pattern)} has {letter!r} but no scheme for it: add {letter}=...")
        if unused := [name for name in schemes if name not in pattern]:
            raise SchemeError(f"pattern {shown(pattern)} does not use {', '.join(unused)}: leave it out, or put it in")
        return cls(tuple(schemes[letter] for letter in pattern))

    @classmethod
    def per_layer(cls, schemes: Sequence[Scheme]) -> "Plan":
        """A plan that names each layer's scheme, for models of just this depth."""
        return cls(tuple(schemes), num_layers=len(schemes))

    def layer(self, index: int, num_layers: int) -> Scheme:
        """The scheme of layer `index`, counted from 0, in a model of `num_layers`.

        Errors: SchemeError where the plan is made for another depth, or the model has no such layer.
        """
        if self.num_layers not in (None, num_layers):
            raise SchemeError(f"this plan is made for {self.num_layers} layers, the model has {num_layers}")
        if not 0 <= index < num_layers:
            raise SchemeError(f"layer must be 0 … {num_layers - 1}, got {index}")
        return self.schemes[index % len(self.schemes)]

    def fill(self, geometry: Geometry, length: int) -> "Plan":
        """The same plan with the open fields of its schemes filled."""
        return replace(self, schemes=tuple(scheme.fill(geometry, length) for scheme in self.schemes))
