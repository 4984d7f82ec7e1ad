"""The slot `rotation`: how does each channel pair rotate with the position?"""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.memo import real_numbers, remember
from longspan.slots.part import UNBOUNDED, Part

DEFAULT_THETA = 10000.0

Layout = Literal["half", "interleaved"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How each channel pair rotates with the position, for one head size.

    Arguments:
        frequencies: radians per token, one for each pair.
        log_decay: natural log of each pair's factor per token, never positive (xPos; zero elsewhere).
        axis: which column of the positions each pair follows.
        gain: factor on rotated queries and on rotated keys (YaRN's temperature).
        layout: which channels are a pair: i and i + pairs ("half"), or 2i and 2i + 1 ("interleaved").
        decay_block: length in tokens of the blocks that decay is computed relative to.
    """

    frequencies: Float64[Tensor, " pairs"]
    log_decay: Float64[Tensor, " pairs"]
    axis: Int64[Tensor, " pairs"]
    gain: float
    layout: Layout
    decay_block: int

    @property
    def rotary_dim(self) -> int:
        """Channels that rotate; the rest of the head passes unchanged."""
        return 2 * len(self.frequencies)

    @property
    def decays(self) -> bool:
        """Whether any pair shrinks with distance."""
        return bool(self.log_decay.any())

    def in_sections(self, count: int) -> "Spectrum":
        """The same for positions with a column for each of `count` sections of the pairs.

        Pair p of P follows column ⌊p · count / P⌋.
        """
        pairs = len(self.frequencies)
        return replace(self, axis=torch.arange(pairs) * count // pairs) if pairs and count > 1 else self


@dataclass(frozen=True)
class Segment:
    """Queries with start ≤ position < stop use `rotation` for themselves and for all their keys."""

    start: int
    stop: int
    rotation: "Rotation"


@dataclass(frozen=True)
class Rotation(Part):
    """How does each channel pair rotate with the position?"""

    slot: ClassVar[str] = "rotation"
    num_axes: ClassVar[int] = 1

    @abstractmethod
    def spectrum(self, head_dim: int) -> Spectrum:
        """Frequencies, decay, axes and gain for one head size.

        Errors: SchemeError where the channels that rotate are an odd number, or a field is open.
        """

    @abstractmethod
    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Radians per token, one for each channel pair, fastest first."""

    def log_decay(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Natural log of the factor by which each pair shrinks per token of distance."""
        return torch.zeros(rotary_dim // 2, dtype=torch.float64)

    def axes(self, rotary_dim: int) -> Int64[Tensor, " pairs"]:
        """The axis of the position that each pair follows."""
        return torch.zeros(rotary_dim // 2, dtype=torch.int64)

    @property
    def gain(self) -> float:
        """Factor on rotated queries and on rotated keys."""
        return 1.0

    @property
    def decays(self) -> bool:
        """Whether any pair shrinks with distance; the first pair shrinks fastest."""
        return bool(self.log_decay(2).any())

    @property
    def decay_block(self) -> int:
        """Length in tokens of the blocks that decay is computed relative to."""
        return 512

    @property
    def causal_only(self) -> bool:
        """Whether it means nothing where queries see later tokens."""
        return False

    def segments(self, length: int) -> tuple[Segment, ...]:
        """Row ranges that share one spectrum; together they hold every position below `length` once."""
        return (Segment(-UNBOUNDED, length, self),)


@dataclass(frozen=True)
class RotaryEmbedding(Rotation):
    """A rotation with frequencies, RoPE's or changed ones.

    Arguments:
        theta: base of the frequencies; 10000 where neither it nor a geometry is given.
        layout: "half" (GPT-NeoX, Hugging Face) or "interleaved" (RoFormer, Meta).
        partial: fraction of the head's channels that rotate, the first ones.
        proportion: fraction of their pairs that rotate, the fast ones; the slow ones have frequency 0 (proportional
            RoPE, as in Gemma 4).
    """

    theta: float | None = field(default=None, kw_only=True)
    layout: Layout = field(default="half", kw_only=True)
    partial: float = field(default=1.0, kw_only=True)
    proportion: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.theta is None or self.theta > 1, "theta", "above 1")
        self.require(self.layout in ("half", "interleaved"), "layout", "'half' or 'interleaved'")
        self.require(0 < self.partial <= 1, "partial", "in (0, 1]")
        self.require(0 < self.proportion <= 1, "proportion", "in (0, 1]")

    def fill(self, geometry: Geometry, length: int) -> "Part":
        """As for any part, from the geometry before the checkpoint's own rescaling, which this rotation replaces."""
        return super().fill(geometry.without_rescaling(), length)

    def original(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """The frequencies that every rescaling starts from: theta^(−2i/d), 0 for pairs that do not rotate."""
        plain = geometric(self.theta, rotary_dim)
        plain[self.rotating(rotary_dim) :] = 0.0
        return plain

    def rotating(self, rotary_dim: int) -> int:
        """How many pairs rotate."""
        return int(self.proportion * rotary_dim // 2)

    def spectrum(self, head_dim: int) -> Spectrum:
        """Frequencies, decay, axes and gain for one head size; made once.

        Errors: SchemeError where the channels that rotate are an odd number, or a field is open.
        """
        return _spectrum(self, head_dim)


@remember(None)
def _spectrum(rotation: RotaryEmbedding, head_dim: int) -> Spectrum:
    rotary_dim = int(head_dim * rotation.partial)
    if rotary_dim % 2:
        raise SchemeError(
            f"{rotation.name} rotates pairs of channels: head_dim {head_dim} · partial {rotation.partial} = "
            f"{rotary_dim} is odd; choose partial so that it is even"
        )
    with real_numbers():
        return Spectrum(
            rotation.frequencies(rotary_dim),
            rotation.log_decay(rotary_dim),
            rotation.axes(rotary_dim),
            rotation.gain,
            rotation.layout,
            rotation.decay_block,
        )


def geometric(theta: float | None, rotary_dim: int) -> Float64[Tensor, " pairs"]:
    """theta^(−2i/d) for i = 0 … d/2−1: the frequencies of RoPE, fastest first; theta is 10000 where None."""
    exponent = torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim
    return (DEFAULT_THETA if theta is None else theta) ** -exponent
