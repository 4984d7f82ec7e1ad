"""The audit of a checkpoint: observe the model, count what its numbers mean at a length, and run every check."""

from collections.abc import Iterable, Iterator
from typing import Any

from longspan.audit.checkpoint import Checkpoint, read
from longspan.audit.checks import findings
from longspan.audit.counting.base import first_negative, smallest_base
from longspan.audit.counting.cost import cost
from longspan.audit.counting.turns import turns
from longspan.audit.report import Audit, BaseBound, FieldReport, LayerGroup, RotationReport
from longspan.audit.subject import Subject
from longspan.audit.watching.held import Held
from longspan.audit.watching.observation import Layer, Observation, Rotation
from longspan.errors import InputError, LongspanError
from longspan.pretrained.anatomy.config import rope_origin, rope_parameters
from longspan.slots import geometric

LONGEST = 2**24
"""The longest text that can be asked about, tokens."""
LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")
"""Names under which configs promise a length."""


def audit(name: str, length: int | None = None) -> Audit:
    """Audit the checkpoint of a name: a Hugging Face id, a folder, a .gguf file, or `bundled`.

    Arguments:
        length: tokens that somebody wants to read; the length that the config promises where left out.

    Errors: RefusalError where there is no such checkpoint; InputError for a length out of range.
    """
    return audit_of(read(name), length)


def audit_of(checkpoint: Checkpoint, length: int | None = None) -> Audit:
    """Audit a checkpoint that was read.

    Errors: InputError for a length out of range.
    """
    if length is not None and not 1 <= length <= LONGEST:
        raise InputError(f"--to must be 1 … {LONGEST} tokens, got {length}")
    subject = Subject(checkpoint, length)
    kind = str(checkpoint.raw.get("model_type", checkpoint.kind.model_type))
    common: dict[str, Any] = {"model": checkpoint.name, "model_type": f"gguf:{kind}" if checkpoint.gguf else kind}
    if subject.refusal:
        nothing: dict[str, Any] = {"layers": (), "rotations": (), "fields": (), "cost": None}
        unknown = {"cache_bytes": None, "cache_bytes_fp8": None, "unknown": subject.refusal, "dtype": "unknown"}
        reach = length or 0
        return Audit(
            **common,
            **nothing,
            **unknown,
            findings=findings(subject),
            trained_length=reach,
            original_length=None,
            assumed="",
            length=reach,
        )
    observed = subject.observation
    trained, original, assumed = trained_length(checkpoint, length)
    reach = length or trained
    subject = Subject(checkpoint, reach)
    groups = tuple(_groups(observed, reach))
    sizes = [(group.cache_bytes, group.cache_bytes_fp8) for group in groups]
    known = bool(observed.cache)
    return Audit(
        **common,
        findings=findings(subject),
        dtype=str(checkpoint.config.dtype or "bfloat16 (assumed)").removeprefix("torch."),
        trained_length=trained,
        original_length=original,
        assumed=assumed,
        length=reach,
        layers=groups,
        rotations=tuple(_rotation(checkpoint, observed, rotation, trained, reach) for rotation in observed.rotations),
        cache_bytes=sum(size or 0 for size, _ in sizes) if known else None,
        cache_bytes_fp8=sum(size or 0 for _, size in sizes) if known else None,
        cost=cost(observed.layers, observed.weights, observed.hidden_size, reach) if observed.layers else None,
        fields=tuple(_fields(subject)),
        unknown=observed.unwatched,
    )


def trained_length(checkpoint: Checkpoint, length: int | None) -> tuple[int, int | None, str]:
    """The length that turns are counted against, the one before a rescaling, and what was assumed about both."""
    text = checkpoint.text
    promised = next(((name, value) for name in LENGTHS if isinstance(value := getattr(text, name, None), int)), None)
    if promised is None or promised[1] < 1:
        if length is None:
            raise InputError(f"the config of {checkpoint.name} names no length: give the tokens to read, --to N")
        return length, None, f"the config names no length: turns are counted as if trained on {length} tokens"
    name, value = promised
    try:
        origin = rope_origin(checkpoint.config)
    except LongspanError:
        return value, None, f"trained on {value} tokens ({name})"
    if origin.trained_length > value:
        name, value = f"the original length times the factor, more than {name} = {value}", origin.trained_length
    original = origin.unscaled_length
    if original:
        assumed = (
            f"trained on {value} tokens ({name}) with the rescaling that the config names, and on {original} before "
            f"it; if the rescaling was added without training, count from {original}"
        )
        return value, original, assumed
    return value, None, f"trained on {value} tokens ({name})"


def _groups(observed: Observation, length: int) -> Iterator[LayerGroup]:
    alike: dict[tuple[object, ...], list[tuple[Layer, Held | None]]] = {}
    for index, layer in enumerate(observed.layers):
        held = observed.cache[layer.number] if layer.number < len(observed.cache) else None
        facts = (layer.kind, layer.rotates, layer.num_heads, layer.num_kv_heads, layer.head_dim, layer.value_dim)
        alike.setdefault((*facts, layer.window, layer.seen, held), []).append((observed.layers[index], held))
    for members in alike.values():
        layer, held = members[0]
        count = len(members)
        yield LayerGroup(
            kind=layer.kind,
            count=count,
            attention=attention(layer, held),
            rotates=layer.rotates,
            num_heads=layer.num_heads,
            num_kv_heads=layer.num_kv_heads,
            head_dim=layer.head_dim,
            value_dim=layer.value_dim,
            window=layer.window,
            seen=layer.seen,
            cache_bytes=count * held.bytes_at(length) if held else None,
            cache_bytes_fp8=count * held.bytes_at(length, 1) if held else None,
            cache_bytes_per_token=count * held.numbers * held.item_bytes if held else None,
        )


def attention(layer: Layer, held: Held | None) -> str:
    """What kind of attention a layer's shapes and cache are those of.

    >>> attention(Layer(0, "full_attention", True, 32, 8, 128, 128), Held(0, 2048, 2, None))
    'GQA'
    """
    if held and not held.numbers:
        return "linear" if held.fixed_bytes else "shared"
    if not layer.num_heads:
        return "own"
    if (
        held
        and held.numbers < layer.num_kv_heads * (layer.head_dim + layer.value_dim) * 0.75
        and layer.num_kv_heads > 1
    ):
        return "MLA"
    if layer.num_kv_heads == 1 and layer.num_heads > 1:
        return "MQA"
    return "MHA" if layer.num_kv_heads == layer.num_heads else "GQA"


def _rotation(
    checkpoint: Checkpoint, observed: Observation, rotation: Rotation, trained: int, length: int
) -> RotationReport:
    numbers, theta, unscaled = _described(checkpoint, rotation)
    rotated = [layer for layer in observed.layers if layer.number in rotation.layers]
    windows = [layer.window_within(length) for layer in rotated]
    widest = None if None in windows else max((window for window in windows if window), default=None)
    reach = widest or length
    wanted, channels = rotation.at(length), 2 * sum(frequency != 0 for frequency in rotation.frequencies)
    plain = geometric(theta, 2 * len(wanted)).tolist() if theta else None
    ratios = [base / now for base, now in zip(plain or (), wanted, strict=False) if now]
    within = min(trained, widest) if widest else trained
    negative = first_negative(wanted, reach)
    return RotationReport(
        name=rotation.name,
        layers=len(rotation.layers),
        kinds=tuple(dict.fromkeys(layer.kind for layer in rotated)),
        rescaling=rotation.kind,
        numbers=numbers,
        theta=theta,
        gain=rotation.gain,
        channels=channels,
        frequencies=wanted,
        rescaled_by=(min(ratios), max(ratios)) if ratios else None,
        changes_at=tuple(rotation.first_changes()),
        turns=turns(rotation.at(trained), wanted, within, reach),
        from_original=turns(plain, wanted, unscaled, reach) if unscaled and plain and not widest else None,
        base=BaseBound(reach, negative is None, negative, smallest_base(reach, channels)),
    )


def _described(checkpoint: Checkpoint, rotation: Rotation) -> tuple[dict[str, Any], float | None, int | None]:
    """What the config says of a set of frequencies: its numbers, theta, and the length before its rescaling."""
    try:
        numbers = dict(rope_parameters(checkpoint.config, rotation.layer_type))
        theta = numbers.get("rope_theta")
        return (
            numbers,
            float(theta) if theta else None,
            rope_origin(checkpoint.config, rotation.layer_type).unscaled_length,
        )
    except (LongspanError, TypeError, KeyError, StopIteration):
        return {}, None, None


def _fields(subject: Subject) -> Iterable[FieldReport]:
    words = {True: "has effect", False: "no effect", None: "not tried"}
    for effect in subject.effects:
        yield FieldReport(effect.where, effect.value, words[effect.does], effect.reason)
