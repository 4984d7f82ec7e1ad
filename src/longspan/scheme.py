"""The equation of `longspan.slots`: one answer for each slot.

Source: the survey of length extrapolation in kexue.fm/archives/9431 and 9948, whose methods each change one term.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from math import lcm

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.distance.rerope import ReRoPE
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
    Memory,
    Normalizer,
    Part,
    QKNorm,
    Reweight,
    Rotation,
    Scale,
    ScoreBias,
    Sharpness,
    Weights,
)


@dataclass(frozen=True)
class Scheme:
    """How attention treats positions. `Scheme()` is causal softmax attention without any.

    A scale left out is the one that the paper of the q/k normalization or of the bias uses, else 1/√head_dim.

    >>> Scheme() == Scheme.of()
    True
    """

    rotation: Rotation = NoPE()
    distance: Distance = TrueDistance()
    qk_norm: QKNorm | None = None
    scale: Scale = None  # type: ignore[assignment]  # filled below: never None after construction
    sharpness: Sharpness | None = None
    cap: Cap | None = None
    bias: Bias | None = None
    direction: Direction = Causal()
    mask: Mask = All()
    normalizer: Normalizer = Softmax()
    reweight: Reweight | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        if self.scale is None:
            object.__setattr__(self, "scale", self.default_scale)
        for part in (self.rotation, self.distance):
            if part.causal_only and not self.direction.causal:
                raise SchemeError(f"{part.name} is causal only: leave out 'bidirectional'")
        if self.distance.by_section and self.rotation.decays:
            raise SchemeError(
                f"{self.rotation.name} decays with one distance, {self.distance.name} has one for each section of the "
                "channel pairs: leave out one of them"
            )
        if self.rotation.num_axes > 1:
            if not self.distance.is_true:
                raise SchemeError(
                    f"{self.distance.name} maps one axis, {self.rotation.name} has {self.rotation.num_axes}: "
                    "leave out the distance term"
                )
            if self.bias or self.reweight:
                part = self.bias or self.reweight
                raise SchemeError(f"{part.name} sees one axis, {self.rotation.name} has {self.rotation.num_axes}")  # type: ignore[union-attr]

        if self.memory is not None:
            self._check_memory(self.memory)

    def _check_memory(self, memory: Memory) -> None:
        """Raise unless far keys are all read alike, by one softmax over all that came before."""
        if not self.distance.far_alike:
            raise SchemeError(
                f"{memory.name} reads all far keys at one distance: write rerope(window=...) beside it, not "
                f"{self.distance.name}"
            )
        others = (self.qk_norm, self.bias, self.reweight, self.mask if self.mask != All() else None)
        if part := next((part for part in others if part is not None), None):
            raise SchemeError(f"{memory.name} keeps no far key for {part.name}: leave out one of them")
        if self.normalizer.order != 1:
            raise SchemeError(f"{memory.name} counts keys in a softmax, not in {self.normalizer.name}")
        if not self.direction.causal or self.rotation.decays or self.rotation.num_axes > 1:
            raise SchemeError(
                f"{memory.name} reads on along one axis, causally, and with a rotation that does not decay"
            )

    @property
    def default_scale(self) -> Scale:
        """The scale where none is named: what the q/k normalization or the bias brings, else 1/√head_dim."""
        return (self.qk_norm and self.qk_norm.brings()) or (self.bias and self.bias.brings()) or InverseSqrt()

    @classmethod
    def of(cls, *parts: Part) -> "Scheme":
        """A scheme from its parts; a distance without a rotation means RoPE, a memory without a distance ReRoPE.

        Errors: SchemeError where two parts answer one slot.
        """
        answers: dict[str, Part] = {}
        for part in parts:
            if other := answers.get(part.slot):
                raise SchemeError(f"{other.name} and {part.name} both answer {part.slot!r}: keep one")
            answers[part.slot] = part
        if "memory" in answers:
            answers.setdefault("distance", ReRoPE())
        if "distance" in answers:
            answers.setdefault("rotation", RoPE())
        return cls(**answers)  # type: ignore[arg-type]

    def parts(self) -> Iterator[Part]:
        """The answers, slot by slot, without the slots that have none."""
        for f in fields(self):
            part = getattr(self, f.name)
            if part is not None:
                yield part

    def fill(self, geometry: Geometry, length: int) -> "Scheme":
        """The same scheme with its open fields filled from a model's geometry and the wanted length in tokens."""
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

    def split_scale(
        self, visible: Int64[Tensor, "batch 1 queries"], base: float, weights: Mapping[str, Tensor]
    ) -> tuple[Float64[Tensor, "_ #heads #queries"] | float, float]:
        """scale · sharpness as a factor of each query, and the one number that a kernel multiplies all scores with.

        A kernel multiplies the −inf of absent keys as well: zero would give NaN and a negative number +inf, so the
        number is positive and the rest is the queries'. A factor of 1.0 needs no multiplication.

        Arguments:
            visible: the number of keys that each query sees.
            base: 1/√head_dim, or a model's own number.
            weights: learned numbers of all parts, named `slot.name`.
        """
        scale = self.scale(base, self.weights_of(self.scale, weights))
        number = float(scale) if isinstance(scale, float | int) and scale > 0 else 1.0
        factor = scale / number
        if self.sharpness:
            factor = factor * self.sharpness(visible, self.weights_of(self.sharpness, weights))
        return factor, number

    @property
    def shift_period(self) -> int | None:
        """Shifting all orders and positions by a multiple of this changes nothing; None where every shift matters."""
        periods = [part.shift_period for part in self.parts()]
        return None if None in periods else lcm(*(period for period in periods if period))

    @property
    def only_inside_softmax(self) -> bool:
        """Whether positions change scores alone and rows sum to one, so that constant input gives constant output."""
        return (
            self.normalizer.rows_sum_to_one
            and self.reweight is None
            and (self.bias is None or isinstance(self.bias, ScoreBias))
        )
