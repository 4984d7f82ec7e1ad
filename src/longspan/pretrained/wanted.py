"""What a scheme means on a given model: the model's own rotation where none is named, open numbers filled in."""

from dataclasses import dataclass, replace

from longspan.errors import RefusalError, SchemeError
from longspan.geometry import Geometry
from longspan.notation import parts
from longspan.pretrained.layout import ChannelLayout
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Part, Rotation

TRAINING_FREE = ("rotation", "distance", "scale", "mask")
"""Slots whose answers may change under a trained model."""
MUST_STAY = ("qk_norm", "cap", "bias", "direction", "normalizer", "reweight")


@dataclass(frozen=True)
class Target:
    """What a scheme is to be closed for.

    Arguments:
        geometry: the model's, with the length trained on, the checkpoint's own rescaling included.
        layout: of the channels that turn.
        unscaled: the length trained on before that rescaling; None where there is none.
        length: tokens to read; None where nobody said.
    """

    geometry: Geometry
    layout: ChannelLayout
    unscaled: int | None = None
    length: int | None = None


def close(scheme: Scheme | str, target: Target) -> Scheme:
    """The scheme with its numbers filled in; `RoPE()` stands for the model's own rotation.

    Errors: RefusalError for what needs training, SchemeError for what stays open.
    """
    if isinstance(scheme, str):
        named = parts(scheme)
        if any(isinstance(part, NoPE) for part in named):
            raise RefusalError("nope takes the model's positions away, which needs training: leave it out")
        scheme = Scheme.of(*named)
    _check_training_free(scheme)
    filled = {part.slot: _filled(part, target) for part in scheme.parts() if part.slot != "rotation"}
    own = scheme.rotation in (NoPE(), RoPE())
    filled["rotation"] = RoPE() if own else _rotation(scheme.rotation, target)
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
    if target.unscaled is not None:  # a named rescaling takes the place of the checkpoint's own
        target = replace(target, geometry=replace(geometry, trained_length=target.unscaled))
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
    if filled != part.fill(geometry, 8 * geometry.trained_length):
        raise SchemeError(
            f"{part.name} leaves {', '.join(part.open_fields())} open, which depends on the tokens to read: "
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
    if rotation.num_axes > 1:
        raise RefusalError(f"{rotation.name} needs {rotation.num_axes} coordinates per token and training with them")
    if not isinstance(rotation, NoPE) and _decays(rotation):
        raise RefusalError(f"{rotation.name} lets pairs shrink with distance, which needs training")


def _decays(rotation: Rotation) -> bool:
    return bool(rotation.log_decay(8).any())
