"""Resolving a scheme or a plan against a model: its own rotation where none is named, and open numbers filled in."""

from dataclasses import fields, replace

from longspan.errors import RefusalError, SchemeError
from longspan.notation import parse_plan, parts
from longspan.plan import Plan
from longspan.pretrained.design import replace_answers
from longspan.pretrained.target import Target
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import UNBOUNDED, Part, Rotation

MUST_STAY = ("qk_norm", "cap", "bias", "direction", "normalizer", "reweight")
"""Slots whose answers need training; the others may be answered anew on a trained model."""
FAR = 8
"""This many times the trained length is tried as well: what then changes depends on the tokens to read."""
NOPE = "nope needs training, and this model was trained with positions: leave it out, or write rope for the model's own"


def resolve(wanted: Plan | Scheme | str, target: Target, num_layers: int) -> Plan:
    """Return the plan with its numbers filled in; in it, `RoPE()` means the model's own rotation.

    A scheme without a rotation term keeps the model's own rotation. In a Plan, a scheme without one means NoPE.

    Errors: RefusalError for what needs training, SchemeError for numbers that remain open.
    """
    if target.design is not None:
        return replace_answers(target.design, wanted, target, num_layers)
    if isinstance(wanted, str):
        wanted = _read(wanted, target, num_layers)
    if isinstance(wanted, Scheme):
        scheme = replace(wanted, rotation=RoPE()) if wanted.rotation == NoPE() else wanted
        return Plan.everywhere(_resolved(scheme, target))
    wanted.layer(0, num_layers)  # raises where the plan is made for another depth
    return replace(wanted, layers=tuple(_resolved(scheme, target) for scheme in wanted.schemes))


def _read(text: str, target: Target, num_layers: int) -> Plan | Scheme:
    geometry = target.geometry
    plan = parse_plan(text, geometry, target.length, num_layers)
    if len(plan.schemes) == 1 and plan.num_layers is None and not text.lstrip().startswith("tile"):
        named = parts(text, geometry)
        if NoPE() in named:
            raise RefusalError(NOPE)
        return Scheme.of(*named)
    if target.length is None and plan != parse_plan(text, geometry, FAR * geometry.trained_length, num_layers):
        raise SchemeError(f"{text} depends on the tokens to read: write its numbers, or give the length")
    return plan


def _resolved(scheme: Scheme, target: Target) -> Scheme:
    _check_training_free(scheme)
    filled = {part.slot: _filled(part, target) for part in scheme.parts() if part.slot != "rotation"}
    filled["rotation"] = RoPE() if scheme.rotation == RoPE() else _rotation(scheme.rotation, target)
    return replace(scheme, **filled)


def names_rotation(scheme: Scheme) -> bool:
    """Return whether a resolved scheme replaces the model's own rotation."""
    return scheme.rotation != RoPE()


def _rotation(rotation: Rotation, target: Target) -> Rotation:
    """Fill in a named rotation; return `RoPE()`, the model's own, where it changes nothing."""
    if target.refusal is not None:
        raise RefusalError(f"{rotation.name} {target.refusal}")
    rotation = target.layout.fit(rotation)
    if _neutral(rotation, target):
        return RoPE()
    filled = _filled(target.origin.inherited(rotation, target.length), target)
    assert isinstance(filled, Rotation)
    _ = filled.frequencies(target.layout.rotary_dim), filled.gain  # raises where a number is still open
    return filled


def _neutral(rotation: Rotation, target: Target) -> bool:
    """Return whether a rotation changes nothing at the length to read, or at any length where that is not given."""
    length = FAR * target.geometry.trained_length if target.length is None else target.length
    return rotation.fill(target.geometry, length).changes_nothing(UNBOUNDED if target.length is None else length)


def _filled(part: Part, target: Target) -> Part:
    factor = getattr(part, "factor", None)
    if factor is not None and factor < 1:
        raise SchemeError(f"{part.name}: factor must be at least 1, got {factor!r}")
    geometry = target.geometry
    if target.length is not None:
        return part.fill(geometry, target.length)
    filled = part.fill(geometry, geometry.trained_length)
    longer = part.fill(geometry, FAR * geometry.trained_length)
    if open_fields := [f.name for f in fields(part) if getattr(filled, f.name) != getattr(longer, f.name)]:
        raise SchemeError(
            f"{part.name} leaves {', '.join(open_fields)} open, which depends on the tokens to read: "
            "write it, or give the length"
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
            raise RefusalError(f"{part.name} needs training, because it has numbers to learn: leave it out")
    if scheme.scale != plain.scale:
        raise RefusalError(
            f"{scheme.scale.name} replaces the scale that the model was trained with: "
            "only multipliers such as log_length fit"
        )
    rotation = scheme.rotation
    if rotation == NoPE():
        raise RefusalError(NOPE)
    if rotation.num_axes > 1:
        raise RefusalError(
            f"{rotation.name} needs {rotation.num_axes} coordinates per token and training with them: leave it out"
        )
    if rotation.decays:
        raise RefusalError(f"{rotation.name} lets pairs shrink with distance, which needs training: leave it out")
