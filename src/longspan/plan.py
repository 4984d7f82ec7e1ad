"""A plan: which scheme, or which mixer in place of attention, in which layer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from longspan.errors import RefusalError, SchemeError, shown
from longspan.geometry import Geometry
from longspan.scheme import Scheme
from longspan.slots import Mixer

MOST_LAYERS = 2**16
"""The most layers that a recipe makes a plan for; no model has more."""


@dataclass(frozen=True)
class Plan:
    """What each layer does: the first for layer 0, and from the start again where there are more layers.

    Arguments:
        layers: a scheme or a mixer for each layer, or one period of them.
        num_layers: the only depth this plan is made for; None where it fits any.

    >>> Plan.everywhere(Scheme()).layer(5, num_layers=24) == Scheme()
    True
    """

    layers: tuple[Scheme | Mixer, ...]
    num_layers: int | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise SchemeError("a plan needs at least one scheme, got none")

    @classmethod
    def everywhere(cls, scheme: Scheme | Mixer) -> "Plan":
        """A plan with the same scheme, or the same mixer, in all layers."""
        return cls((scheme,))

    @classmethod
    def tile(cls, pattern: str, /, **schemes: Scheme | Mixer) -> "Plan":
        """A plan that repeats a pattern of letters over the layers; each letter names a scheme or a mixer.

        >>> window, full = Scheme(), Scheme.of()
        >>> len(Plan.tile("SSSL", S=window, L=full).layers)
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
    def per_layer(cls, schemes: Sequence[Scheme | Mixer]) -> "Plan":
        """A plan that names each layer's scheme or mixer, for models of just this depth."""
        return cls(tuple(schemes), num_layers=len(schemes))

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The mixers in it, each once."""
        return tuple(dict.fromkeys(layer for layer in self.layers if isinstance(layer, Mixer)))

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The same as `layers`, for what can be done to attention only.

        Errors: RefusalError where the plan has a mixer.
        """
        return tuple(map(_attention, self.layers))

    def layer(self, index: int, num_layers: int) -> Scheme:
        """The scheme of layer `index`, counted from 0, in a model of `num_layers`.

        Errors: as for `at`; RefusalError where the layer has a mixer.
        """
        return _attention(self.at(index, num_layers))

    def at(self, index: int, num_layers: int) -> Scheme | Mixer:
        """What layer `index`, counted from 0, does in a model of `num_layers`.

        Errors: SchemeError where the plan is made for another depth, or the model has no such layer.
        """
        if self.num_layers not in (None, num_layers):
            raise SchemeError(f"this plan is made for {self.num_layers} layers, the model has {num_layers}")
        if not 0 <= index < num_layers:
            raise SchemeError(f"layer must be 0 … {num_layers - 1}, got {index}")
        return self.layers[index % len(self.layers)]

    def attention(self, num_layers: int) -> "Plan":
        """The plan of those layers alone that attend; that of an empty scheme where none does."""
        if not self.mixers:
            return self
        found = [layer for index in range(num_layers) if isinstance(layer := self.at(index, num_layers), Scheme)]
        return Plan.per_layer(found) if found else Plan.everywhere(Scheme())

    def fill(self, geometry: Geometry, length: int) -> "Plan":
        """The same plan with the open fields of its schemes and mixers filled."""
        return replace(self, layers=tuple(_filled(layer, geometry, length) for layer in self.layers))


def _filled(layer: Scheme | Mixer, geometry: Geometry, length: int) -> Scheme | Mixer:
    filled = layer.fill(geometry, length)
    assert isinstance(filled, Scheme | Mixer)
    return filled


def _attention(layer: Scheme | Mixer) -> Scheme:
    if isinstance(layer, Mixer):
        raise RefusalError(
            f"{layer.name} takes the place of attention, so a model is trained with it (longspan.design): it is no "
            "extension, and no extension reaches its layers"
        )
    return layer
