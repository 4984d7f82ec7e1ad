"""The equation: one answer for each slot.

    score_h(i, j)  = cap( scale(i) · ( ⟨ R(a) N(q_i), R(c)⁻ᵀ N(k_j) ⟩ + ⟨ N(q_i), κ(i, j) ⟩ ) ) + bias_h(i, j)
    weight_h(i, ·) = normalizer( score_h(i, j)  for j with mask(i, j) ) · reweight_h(i, j)
    out_h(i)       = Σ_j weight_h(i, j) ( v_j + ν(i, j) )                            with a − c = distance(i, j)

Source: the survey of length extrapolation in kexue.fm/archives/9431 and 9948, whose methods each change one term.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import lcm

import torch
from torch import Tensor

from longspan.distance.true import TrueDistance
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.mask.all import All
from longspan.mask.causal import Causal
from longspan.normalizer.softmax import Softmax
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scale.inverse_sqrt import InverseSqrt
from longspan.slots import (
    Bias,
    Cap,
    Direction,
    Distance,
    Mask,
    Normalizer,
    Part,
    QKNorm,
    Reweight,
    Rotation,
    Scale,
    ScoreBias,
    Weights,
)


@dataclass(frozen=True)
class Scheme:
    """How attention treats positions. `Scheme()` is causal softmax attention without any.

    A scale left out is what the q/k normalization or the bias brings from its paper, else 1/√head_dim.

    >>> Scheme() == Scheme.of()
    True
    """

    rotation: Rotation = NoPE()
    distance: Distance = TrueDistance()
    qk_norm: QKNorm | None = None
    scale: Scale = None  # type: ignore[assignment]  # filled below: never None after construction
    cap: Cap | None = None
    bias: Bias | None = None
    direction: Direction = Causal()
    mask: Mask = All()
    normalizer: Normalizer = Softmax()
    reweight: Reweight | None = None

    def __post_init__(self) -> None:
        brought = self.brought_scale()
        object.__setattr__(self, "scale", brought if self.scale is None else self.scale.on(brought))
        for part in (self.rotation, self.distance):
            if part.causal_only and not self.direction.causal:
                raise SchemeError(f"{part.name} is causal only: leave out 'bidirectional'")
        if self.rotation.num_axes > 1:
            if not self.distance.is_true:
                raise SchemeError(
                    f"{self.distance.name} maps one axis, {self.rotation.name} has {self.rotation.num_axes}: "
                    "leave out the distance term"
                )
            if self.bias or self.reweight:
                part = self.bias or self.reweight
                raise SchemeError(f"{part.name} sees one axis, {self.rotation.name} has {self.rotation.num_axes}")  # type: ignore[union-attr]

    def brought_scale(self) -> Scale:
        """The scale where none is named."""
        return (self.qk_norm and self.qk_norm.brings()) or (self.bias and self.bias.brings()) or InverseSqrt()

    @classmethod
    def of(cls, *parts: Part) -> "Scheme":
        """A scheme from its parts; a distance without a rotation means RoPE.

        Errors: SchemeError where two parts answer one slot; only a multiplier of the scale may join another scale.
        """
        answers: dict[str, Part] = {}
        for part in parts:
            other = answers.get(part.slot)
            if isinstance(other, Scale) and isinstance(part, Scale):
                joined = part.on(other) if part.on(other) != part else other.on(part)
                if joined in (part, other):
                    raise SchemeError(f"{other.name} and {part.name} both answer 'scale': keep one")
                part = joined
            elif other is not None:
                raise SchemeError(f"{other.name} and {part.name} both answer {part.slot!r}: keep one")
            answers[part.slot] = part
        if "distance" in answers:
            answers.setdefault("rotation", RoPE())
        return cls(**answers)  # type: ignore[arg-type]

    def parts(self) -> Iterator[Part]:
        """The answers, slot by slot; slots without one are skipped."""
        for f in fields(self):
            part = getattr(self, f.name)
            if part is not None:
                yield part

    def fill(self, geometry: Geometry, length: int) -> "Scheme":
        """The same scheme with open fields closed from a model's geometry and the wanted length in tokens."""
        return replace(self, **{part.slot: part.fill(geometry, length) for part in self.parts()})

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Learned numbers of all parts at the start of training, named `slot.name`."""
        return {
            f"{part.slot}.{name}": value
            for part in self.parts()
            for name, value in part.initial_weights(num_heads, head_dim, generator).items()
        }

    def weights_of(self, part: Part, weights: Mapping[str, Tensor]) -> Weights:
        """The learned numbers of one part, by its own names."""
        prefix = f"{part.slot}."
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

    @property
    def shift_period(self) -> int | None:
        """Shifting all coordinates and orders by a multiple of this changes nothing; None where no shift is free."""
        periods = [part.shift_period for part in self.parts()]
        return None if None in periods else lcm(*(period for period in periods if period))

    @property
    def only_inside_softmax(self) -> bool:
        """Whether positions act on scores alone and rows sum to one, so that constant input gives constant output."""
        return (
            self.normalizer.rows_sum_to_one
            and self.reweight is None
            and (self.bias is None or isinstance(self.bias, ScoreBias))
        )
