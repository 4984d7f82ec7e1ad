"""What an audit says, as plain values: the same for people, for JSON and for tests."""

from dataclasses import asdict, dataclass
from typing import Any

from longspan.audit.counting.cost import Cost
from longspan.audit.counting.turns import Turns
from longspan.audit.finding import Finding


@dataclass(frozen=True)
class LayerGroup:
    """Layers that are alike.

    Arguments:
        kind: layer type.
        count: how many there are.
        attention: "MHA", "GQA", "MQA", "MLA", "linear" (a state of fixed size), "shared" (no cache of its own), or
            "own" (the family calls attention by code of its own).
        rotates: whether queries or keys are rotated.
        num_heads, num_kv_heads, head_dim, value_dim: sizes; 0 where no attention function is called.
        window: tokens that a query may see by the config, itself included; None without a limit.
        seen: the most tokens that a query sees by the model's mask function, itself included.
        cache_bytes: bytes of all these layers' caches at the audited length, one row, in the model's dtype.
        cache_bytes_fp8: the same with keys and values of one byte per number.
        cache_bytes_per_token: growth of these layers' caches, bytes per token, while no window is full.
    """

    kind: str
    count: int
    attention: str
    rotates: bool
    num_heads: int
    num_kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None
    seen: int | None
    cache_bytes: int | None
    cache_bytes_fp8: int | None
    cache_bytes_per_token: float | None


@dataclass(frozen=True)
class BaseBound:
    """Whether similar keys score better than random ones on average, at every distance.

    Arguments:
        length: distances looked at, tokens: the audited length, or the window of the layers that rotate so.
        satisfied: whether the model's own frequencies satisfy the bound.
        first_negative: the shortest distance at which they do not, tokens; None where they do.
        smallest_theta: about the smallest base that a plain rotation of as many channels needs.
    """

    length: int
    satisfied: bool
    first_negative: int | None
    smallest_theta: int | None


@dataclass(frozen=True)
class RotationReport:
    """One set of frequencies.

    Arguments:
        name: the rotary module, and the layer type where it holds several sets.
        layers: attention layers that it rotates.
        kinds: their layer types.
        rescaling: rope_type, "default" without one.
        numbers: the rotation parameters that transformers ends up with.
        theta: rope_theta; None where the config names none.
        gain: factor on cosine and sine.
        channels: channels of a head that rotate, pairs of frequency zero left out.
        frequencies: as the model computes them, radians per token.
        rescaled_by: the smallest and the largest factor by which they are slower than theta^(-2i/d); None without
            theta.
        changes_at: lengths of a call in tokens at which its frequencies change; of those that change with every token,
            the first one after each power of two.
        turns: within the trained length and at the audited length.
        from_original: the same, counted against the length before the rescaling; None without one.
        base: the bound on the base.
    """

    name: str
    layers: int
    kinds: tuple[str, ...]
    rescaling: str
    numbers: dict[str, Any]
    theta: float | None
    gain: float
    channels: int
    frequencies: tuple[float, ...]
    rescaled_by: tuple[float, float] | None
    changes_at: tuple[int, ...]
    turns: Turns
    from_original: Turns | None
    base: BaseBound


@dataclass(frozen=True)
class FieldReport:
    """What one field of the config does.

    Arguments:
        where: its name, keys joined by dots.
        value: as written.
        effect: "has effect", "no effect", or "not tried".
        reason: why; empty where it has an effect.
    """

    where: str
    value: Any
    effect: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """All that an audit says of a checkpoint.

    Arguments:
        model: as named by the user.
        model_type: transformers' name of the family; "gguf:" before it for a GGUF file.
        dtype: of weights and cache.
        trained_length: tokens that turns are counted against.
        original_length: tokens before a rescaling; None without one.
        assumed: what was assumed about the trained length.
        length: tokens that were asked about.
        layers, rotations, fields, findings: see there.
        cache_bytes, cache_bytes_fp8: of all layers at the audited length, one row; None where unknown.
        cost: where the quadratic term dominates; None where the layers are unknown.
        unknown: what could not be found out, and why; empty where nothing is missing.
    """

    model: str
    model_type: str
    dtype: str
    trained_length: int
    original_length: int | None
    assumed: str
    length: int
    layers: tuple[LayerGroup, ...]
    rotations: tuple[RotationReport, ...]
    cache_bytes: int | None
    cache_bytes_fp8: int | None
    cost: Cost | None
    fields: tuple[FieldReport, ...]
    findings: tuple[Finding, ...]
    unknown: str

    @property
    def failed(self) -> bool:
        """Whether any finding is a failure."""
        return any(finding.severity == "failure" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The audit as objects that JSON knows, and whether it failed."""
        return {**asdict(self), "failed": self.failed}
