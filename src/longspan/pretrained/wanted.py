"""What a scheme or a plan means on a given model: its own rotation where none is named, open numbers filled in."""

from dataclasses import dataclass, fields, replace

from longspan.errors import RefusalError, SchemeError
from longspan.geometry import Geometry
from longspan.notation import parse_plan, parts
from longspan.plan import Plan
from longspan.pretrained.layout import ChannelLayout
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Part, Rotation

TRAINING_FREE = ("rotation", "distance", "scale", "mask")
"""Slots whose answers may change under a trained model."""
MUST_STAY = ("qk_norm", "cap", "bias", "direction", "normalizer", "reweight")


NOPE = "nope needs training, and this model was trained with positions: leave it out, or write rope for the model's own"


@dataclass(frozen=True)
class Target:
    """What a scheme is to be closed for.

    Arguments:
        geometry: the model's.
        layout: of the channels that turn.
        length: tokens to read; None where nobody said.
    """

    geometry: Geometry
    layout: ChannelLayout
    length: int | None = None


def close(wanted: Plan | Scheme | str, target: Target, num_layers: int) -> Plan:
    """The plan with its numbers filled in; `RoPE()` stands for the model's own rotation.

    A scheme that names no rotation keeps the model's own. A plan says for each layer what it has: there, no rotation
    is no rotation.

    Errors: RefusalError for what needs training, SchemeError for what stays open.
    """
    if isinstance(wanted, str):
        wanted = _read(wanted, target, num_layers)
    if isinstance(wanted, Scheme):
        own = replace(wanted, rotation=RoPE()) if wanted.rotation == NoPE() else wanted
        return Plan.everywhere(_closed(own, target))
    wanted.layer(0, num_layers)  # raises where the plan is made for another depth
    return replace(wanted, schemes=tuple(_closed(scheme, target) for scheme in wanted.schemes))


def _read(text: str, target: Target, num_layers: int) -> Plan | Scheme:
    geometry = target.geometry
    plan = parse_plan(text, geometry, target.length, num_layers)
    if len(plan.schemes) == 1 and plan.num_layers is None and not text.lstrip().startswith("tile"):
        named = parts(text, geometry)
        if NoPE() in named:
            raise RefusalError(NOPE)
        return Scheme.of(*named)
    if target.length is None and plan != parse_plan(text, geometry, 8 * geometry.trained_length, num_layers):
        raise SchemeError(f"{text} depends on the tokens to read: write its numbers, or say the length")
    return plan


def _closed(scheme: Scheme, target: Target) -> Scheme:
    _check_training_free(scheme)
    filled = {part.slot: _filled(part, target) for part in scheme.parts() if part.slot != "rotation"}
    filled["rotation"] = RoPE() if scheme.rotation == RoPE() else _rotation(scheme.rotation, target)
    return replace(scheme, **filled)


def names_rotation(scheme: Scheme) -> bool:
    """Whether a closed scheme replaces the model's own rotation."""
    return scheme.rotation != RoPE()


def fitted(rotation: Rotation, layout: ChannelLayout) -> Rotation:
    """A named rotation on a model's channels."""
    return replace(rotation, layout=layout.pairing, partial=layout.partial)


def _rotation(rotation: Rotation, target: Target) -> Rotation:
    geometry = target.geometry
    if geometry.theta is None:
        raise RefusalError(f"{rotation.name} rescales rotary frequencies, and this model's config names no rope_theta")
    filled = _filled(fitted(rotation, target.layout), target)
    assert isinstance(filled, Rotation)
    _ = filled.frequencies(target.layout.rotary_dim), filled.gain  # raises where a number is still open
    return filled


def _filled(part: Part, target: Target) -> Part:
    factor = getattr(part, "factor", None)
    if factor is not None and factor < 1:
        raise SchemeError(f"{part.name}: factor must be at least 1, got {factor!r}")
    geometry = target.geometry
    if target.length is not None:
        return part.fill(geometry, target.length)
    filled = part.fill(geometry, geometry.trained_length)
    longer = part.fill(geometry, 8 * geometry.trained_length)
    if open_fields := [f.name for f in fields(part) if getattr(filled, f.name) != getattr(longer, f.name)]:
        raise SchemeError(
            f"{part.name} leaves {', '.join(open_fields)} open, which depends on the tokens to read: "
            "write it, or say the length"
        )
    return filled


def _check_training_free(scheme: Scheme) -> None:
    plain = Scheme()
    for slot in MUST_STAY:
        part = getattr(scheme, slot)
        if part != getattr(plain, slot):
            raise RefusalError(f"{part.name} needs training, and this model was trained without it: leave it out")
    for part in scheme.parts():
        if part.initial_weights(1, 2):
            raise RefusalError(f"{part.name} needs training, for it has numbers to learn: leave it out")
    if scheme.scale != plain.scale and scheme.scale.multiplies != plain.scale:
        raise RefusalError(
            f"{scheme.scale.name} replaces the scale that the model was trained with: "
            "only multipliers such as log_length fit"
        )
    rotation = scheme.rotation
    if rotation == NoPE():
        raise RefusalError(NOPE)
    if rotation.num_axes > 1:
        raise RefusalError(f"{rotation.name} needs {rotation.num_axes} coordinates per token and training with them")
    if rotation.log_decay(8).any():
        raise RefusalError(f"{rotation.name} lets pairs shrink with distance, which needs training")
