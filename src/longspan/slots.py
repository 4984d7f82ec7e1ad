"""The slots of the equation: what a part of each kind must answer.

    match(i, j)    = ⟨ R(a) N(q_i), R(c)⁻ᵀ N(k_j) ⟩ + ⟨ N(q_i), κ(i, j) ⟩            with a − c = distance(i, j)
    score_h(i, j)  = cap( scale_h · sharpness(i) · match(i, j) ) + bias_h(i, j)
    weight_h(i, ·) = normalizer( score_h(i, j)  for j with mask(i, j) ) · reweight_h(i, j)
    out_h(i)       = Σ_j weight_h(i, j) ( v_j + ν(i, j) )

A part is a value: a frozen dataclass of numbers, strings, booleans and tuples, so that equality, hashing, repr and
cache keys come for free. It knows no model, no device and no backend. `mask` and `sharpness` see a token's *order*
(unit steps inside its document); `rotation`, `distance`, `bias` and `reweight` see its *coordinate* (which may jump).
A field left at None is *open*: `fill` closes it from a model's geometry and the wanted length.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf, nan
from sys import float_info
from typing import ClassVar, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from longspan.errors import SchemeError, shown
from longspan.geometry import Geometry
from longspan.memo import remember
from longspan.position_map import Identity, PositionMap

_T = TypeVar("_T")

Weights = Mapping[str, Tensor]
"""Learned numbers of one part, by name."""

DEFAULT_THETA = 10000.0
UNBOUNDED = 2**62
"""An order that no document reaches; leaves room for adding offsets in int64."""


INFINITE = "infinite"
"""Marks a field whose infinity is a setting of its method, as the one that changes nothing."""


def representable(value: object) -> bool:
    """Whether a tensor can hold a value, if it is a number: NaN, infinities and whole numbers above 2^62 are not."""
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

        A subclass that checks its own fields calls this first. A field with `INFINITE` among its metadata may be inf.
        """
        for f in fields(self):
            value = getattr(self, f.name)
            for number in value if isinstance(value, tuple) else (value,):
                holds = representable(number) or (number == inf and INFINITE in f.metadata)
                self.require(holds, f.name, "at most 2^62" if isinstance(number, int) else "finite")

    @property
    def name(self) -> str:
        """The method's name: the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    def fill(self, geometry: Geometry, length: int) -> "Part":
        """Close the open fields from a model's geometry and the wanted length in tokens.

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
        """Names of the fields that still wait for a geometry."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is None)

    def known(self, value: _T | None, name: str) -> _T:
        """`value`, or the error that says which field is open."""
        if value is None:
            raise SchemeError(
                f"{self.name} needs {name}: write {self.name}({name}=...), or parse with a geometry and a length"
            )
        return value

    def require(self, holds: bool, name: str, allowed: str) -> None:
        """Raise unless a field's value lies in its range."""
        if not holds:
            raise SchemeError(f"{self.name}: {name} must be {allowed}, got {shown(getattr(self, name))}")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Learned numbers at the start of training (empty for a method without any)."""
        return {}

    @property
    def shift_period(self) -> int | None:
        """Shifting all places by a multiple of this changes nothing; None where no shift is free."""
        return 1

    def changes_nothing(self, length: int) -> bool:
        """True where this setting acts as if its slot were empty, up to `length` tokens."""
        return False


# --- rotation ---------------------------------------------------------------------------------------------------------

Layout = Literal["half", "interleaved"]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How each channel pair turns with position.

    Arguments:
        frequencies: radians per token, one per pair.
        log_decay: natural log of each pair's shrinking per token (xPos; zero elsewhere, never positive).
        axis: which coordinate each pair follows.
        gain: factor on rotated queries and on rotated keys (YaRN's temperature).
        layout: where a pair's two channels stand: i and i + pairs ("half"), or 2i and 2i + 1 ("interleaved").
        decay_block: length in tokens of the blocks to which decay is relative.
    """

    frequencies: Float64[Tensor, " pairs"]
    log_decay: Float64[Tensor, " pairs"]
    axis: Int64[Tensor, " pairs"]
    gain: float
    layout: Layout
    decay_block: int

    @property
    def rotary_dim(self) -> int:
        """Channels that turn; the rest of the head passes unchanged."""
        return 2 * len(self.frequencies)

    @property
    def decays(self) -> bool:
        """Whether any pair shrinks with distance."""
        return bool(self.log_decay.any())

    def in_sections(self, count: int) -> "Spectrum":
        """The same for positions of so many sections of the pairs: pair p of P follows number ⌊p · count / P⌋."""
        pairs = len(self.frequencies)
        return replace(self, axis=torch.arange(pairs) * count // pairs) if pairs and count > 1 else self


@dataclass(frozen=True)
class Segment:
    """Queries with start ≤ coordinate < stop use `rotation` for themselves and for all their keys."""

    start: int
    stop: int
    rotation: "Rotation"


@dataclass(frozen=True)
class Rotation(Part):
    """How does each channel pair turn?

    Arguments:
        theta: base of the frequencies; 10000 where neither it nor a geometry is given.
        layout: "half" (GPT-NeoX, Hugging Face) or "interleaved" (RoFormer, Meta).
        partial: fraction of the head's channels that rotate, the first ones.
        proportion: fraction of their pairs that rotate, the fast ones; the slow ones have frequency 0 (proportional
            RoPE, as in Gemma 4).
    """

    slot: ClassVar[str] = "rotation"
    num_axes: ClassVar[int] = 1
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
        """As of any part; a rescaling that the model came with counts for nothing, for this one takes its place."""
        return super().fill(geometry.without_rescaling(), length)

    @abstractmethod
    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Radians per token, one per channel pair, fastest first."""

    def original(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """The frequencies that every rescaling starts from: theta^(−2i/d), 0 for pairs that do not rotate."""
        plain = geometric(self.theta, rotary_dim)
        plain[self.rotating(rotary_dim) :] = 0.0
        return plain

    def rotating(self, rotary_dim: int) -> int:
        """How many pairs rotate."""
        return int(self.proportion * rotary_dim // 2)

    def log_decay(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Natural log of each pair's shrinking per token of distance."""
        return torch.zeros(rotary_dim // 2, dtype=torch.float64)

    def axes(self, rotary_dim: int) -> Int64[Tensor, " pairs"]:
        """The coordinate each pair follows."""
        return torch.zeros(rotary_dim // 2, dtype=torch.int64)

    @property
    def gain(self) -> float:
        """Factor on rotated queries and on rotated keys."""
        return 1.0

    @property
    def decays(self) -> bool:
        """Whether any pair shrinks with distance."""
        return bool(self.log_decay(2).any())

    @property
    def decay_block(self) -> int:
        """Length in tokens of the blocks to which decay is relative."""
        return 512

    @property
    def causal_only(self) -> bool:
        """Whether it means nothing where queries see what comes after them."""
        return False

    def segments(self, length: int) -> tuple[Segment, ...]:
        """Row ranges that share one spectrum; together they hold every coordinate below `length` once."""
        return (Segment(-UNBOUNDED, length, self),)

    def spectrum(self, head_dim: int) -> Spectrum:
        """All of it for one head size."""
        return _spectrum(self, head_dim)


@remember(None)
def _spectrum(rotation: Rotation, head_dim: int) -> Spectrum:
    rotary_dim = int(head_dim * rotation.partial)
    if rotary_dim % 2:
        raise SchemeError(
            f"{rotation.name} turns pairs of channels: head_dim {head_dim} · partial {rotation.partial} = {rotary_dim} "
            "is odd; choose partial so that it is even"
        )
    return Spectrum(
        rotation.frequencies(rotary_dim),
        rotation.log_decay(rotary_dim),
        rotation.axes(rotary_dim),
        rotation.gain,
        rotation.layout,
        rotation.decay_block,
    )


def geometric(theta: float | None, rotary_dim: int) -> Float64[Tensor, " pairs"]:
    """theta^(−2i/d) for i = 0 … d/2−1: the frequencies of RoPE, fastest first."""
    exponent = torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim
    return (DEFAULT_THETA if theta is None else theta) ** -exponent


# --- distance ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """The pairs with start ≤ ⌊i / block⌋ − ⌊j / block⌋ < stop; blocks of one token round nothing."""

    start: float = -inf
    stop: float = inf
    block: int = 1

    def __call__(self, query: Tensor, key: Tensor) -> Bool[Tensor, "..."]:
        """Which pairs lie in the band; broadcasts."""
        if self.block > 1:
            query, key = query // self.block, key // self.block
        difference = query - key
        return (difference >= self.start) & (difference < self.stop)


EVERYWHERE = Band()


@dataclass(frozen=True)
class Branch:
    """Where `holds`, the query is rotated to `query(i)` and the key to `key(j)`."""

    query: PositionMap
    key: PositionMap
    holds: Band

    def __post_init__(self) -> None:
        if self.query.sections != self.key.sections:
            raise SchemeError(
                f"queries are mapped in {self.query.sections} sections of the channel pairs, keys in "
                f"{self.key.sections}: give both as many"
            )

    @property
    def sections(self) -> int:
        """Sections of the channel pairs with positions of their own; 1 where all pairs share one."""
        return self.query.sections


TRUE_BRANCHES = (Branch(Identity(), Identity(), EVERYWHERE),)


@dataclass(frozen=True)
class Distance(Part):
    """How far apart is a pair *said* to be?"""

    slot: ClassVar[str] = "distance"
    causal_only: ClassVar[bool] = False
    by_section: ClassVar[bool] = False
    """Whether sections of the channel pairs have distances of their own."""

    @abstractmethod
    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """The said distance of query and key coordinates; broadcasts. This is the definition.

        Where `by_section`, it has one more axis: the distance in each section.
        """

    def per_section(self) -> "tuple[Distance, ...]":
        """The distance in each section of the channel pairs, fastest pairs first."""
        return (self,)

    @abstractmethod
    def branches(self) -> tuple[Branch, ...]:
        """The same as plain rotations: exactly one branch holds for each pair."""

    @property
    def is_true(self) -> bool:
        """Whether every pair is as far apart as it is."""
        return self.branches() == TRUE_BRANCHES


# --- qk_norm, scale, sharpness, cap -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class QKNorm(Part):
    """What is done to the content of queries and keys before they turn?"""

    slot: ClassVar[str] = "qk_norm"

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The normalized query."""
        return query

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The normalized key."""
        return key

    def brings(self) -> "Scale | None":
        """The scale that the paper uses with it, where that is not 1/√d."""
        return None


@dataclass(frozen=True)
class Scale(Part):
    """What are all scores multiplied with, whatever the query sees?"""

    slot: ClassVar[str] = "scale"

    @abstractmethod
    def __call__(self, base: float, weights: Weights) -> Float64[Tensor, "1 heads 1"] | float:
        """The factor: one number, or one per head. `base` is 1/√head_dim, or a model's own number."""


@dataclass(frozen=True)
class Sharpness(Part):
    """How much sharper is a query that sees more keys? A factor on top of the scale."""

    slot: ClassVar[str] = "sharpness"

    @abstractmethod
    def __call__(
        self, visible: Int64[Tensor, "batch 1 queries"], weights: Weights
    ) -> Float64[Tensor, "batch #heads queries"]:
        """Each query's factor; `visible` counts the keys that the query sees."""


@dataclass(frozen=True)
class Cap(Part):
    """What bounds the scores before the bias is added?"""

    slot: ClassVar[str] = "cap"

    @abstractmethod
    def __call__(self, scores: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The bounded scores, elementwise."""


# --- bias -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bias(Part):
    """What is added to a pair's score? Either a `ScoreBias` or a `VectorBias`; both see i − j only."""

    slot: ClassVar[str] = "bias"

    def brings(self) -> Scale | None:
        """The scale that the paper uses with it, where that is not 1/√d."""
        return None

    @property
    def constant_beyond(self) -> int | None:
        """A distance from which on (causally) the bias no longer changes; None where there is none."""
        return None


@dataclass(frozen=True)
class ScoreBias(Bias):
    """A number per head and distance."""

    @abstractmethod
    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """What is added, for relative = i − j and head = 0 … num_heads − 1; broadcasts."""


@dataclass(frozen=True)
class VectorBias(Bias):
    """A vector per distance, added to keys (`weights["key"]`) and to values (`weights["value"]`).

    From `constant_beyond` on, either way, all pairs of one side share a row.
    """

    @abstractmethod
    def row(self, relative: Tensor) -> Int64[Tensor, "..."]:
        """Which row of the tables belongs to relative = i − j."""


# --- mask -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Direction(Part):
    """May a query see what comes after it?"""

    slot: ClassVar[str] = "direction"
    causal: ClassVar[bool]


@dataclass(frozen=True)
class Mask(Part):
    """Which pairs exist? One interval of keys for each query, and the document's first tokens.

    Arguments:
        sinks: tokens at the start of the document that every query sees.
    """

    slot: ClassVar[str] = "mask"
    sinks: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sinks >= 0, "sinks", "at least 0")

    @abstractmethod
    def interval(self, order: Int64[Tensor, "..."], causal: bool) -> tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]:
        """First key and one past the last key that a query sees, sinks aside; both never fall as `order` grows."""

    def __call__(self, query: Tensor, key: Tensor, causal: bool) -> Bool[Tensor, "..."]:
        """Which pairs of orders exist; broadcasts."""
        start, stop = self.interval(query, causal)
        keep = ((key >= start) & (key < stop)) | (key < self.sinks)
        return keep & (key <= query) if causal else keep

    def count(self, order: Int64[Tensor, "..."], length: Int64[Tensor, "..."], causal: bool) -> Int64[Tensor, "..."]:
        """How many keys a query at `order` sees in a document of `length` tokens."""
        start, stop = self.interval(order, causal)
        end = torch.minimum(length, order + 1) if causal else length
        start = torch.minimum(start.clamp(min=0), end)
        stop = torch.maximum(torch.minimum(stop, end), start)
        below, above = start.clamp(max=self.sinks), (torch.clamp(end, max=self.sinks) - stop).clamp(min=0)
        return stop - start + below + above

    @property
    def shift_period(self) -> int | None:
        """Shifts move the sinks to other tokens."""
        return None if self.sinks else 1


# --- normalizer, reweight ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalizer(Part):
    """How do scores become weights?"""

    slot: ClassVar[str] = "normalizer"
    rows_sum_to_one: ClassVar[bool] = True
    order: ClassVar[float | None] = None
    """p where the weights are e^s / (Σ e^{p s})^{1/p}, so that kernels may visit the keys in pieces and merge by
    log-sum-exp: 1 for softmax, 2 where the squares sum to one; None where sums of exponentials do not do."""

    @abstractmethod
    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Weights from scores; −inf marks pairs that do not exist. A row of nothing but −inf gives zeros."""

    def extra_logit(self, num_heads: int, weights: Weights) -> Float[Tensor, " num_heads"] | None:
        """The score of a key without a value that joins every row of a streaming normalizer; None for no such key."""
        return None


def in_rows_with_keys(
    normalize: Callable[[Tensor], Tensor], scores: Float[Tensor, "batch heads queries keys"]
) -> Float[Tensor, "batch heads queries keys"]:
    """`normalize(scores)`, but zeros for rows of nothing but −inf, and no NaN from them in any gradient.

    Rows with a NaN or +inf give NaN, as softmax does, and never reach `normalize`.
    """
    empty, spoiled = (scores == -inf).all(-1, keepdim=True), ~(scores < inf).all(-1, keepdim=True)
    weights = normalize(scores.masked_fill(empty | spoiled, 0.0)).masked_fill(empty, 0.0)
    return weights.masked_fill(spoiled, nan)


@dataclass(frozen=True)
class Reweight(Part):
    """What multiplies the weights afterwards?"""

    slot: ClassVar[str] = "reweight"

    @property
    def constant_beyond(self) -> int | None:
        """A distance to the past from which on the factor no longer changes; None where there is none."""
        return None

    @abstractmethod
    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """The factor for relative = i − j and head = 0 … num_heads − 1; broadcasts."""
