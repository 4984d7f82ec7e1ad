"""An edited number that does nothing: the config asks for a rotation, and the model rotates as it would without."""

from collections.abc import Iterator
from typing import Any

from longspan.audit.checkpoint import ROPE
from longspan.audit.fields import Effect
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import shown
from longspan.pretrained.anatomy.config import rope_parameters

ASKING = {
    "rope_theta": None,
    "partial_rotary_factor": 1.0,
    "rope_type": "default",
    "type": "default",
    "factor": 1.0,
    "original_max_position_embeddings": None,
    "attention_factor": None,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": None,
    "mscale_all_dim": None,
    "truncate": True,
    "short_factor": None,
    "long_factor": None,
    "low_freq_factor": None,
    "high_freq_factor": None,
}
"""Fields that ask for a rotation, with the value that transformers takes where they are absent."""
INFORMS = ("original_max_position_embeddings",)
"""Fields that some kinds of rotation keep for information only."""


def check(subject: Subject) -> Iterator[Finding]:
    """Report every such field of which no other value changes anything, unless it says what holds anyway."""
    if subject.refusal:
        return
    for effect in subject.effects:
        if effect.does is False and effect.path[-1] in ASKING and _at_its_level(subject, effect):
            if not _says_what_holds(subject, effect):
                yield Finding(
                    check="no_effect",
                    severity="failure",
                    where=effect.where,
                    what=f"no other value changes how the model rotates: {effect.reason}",
                    given=shown(effect.value),
                    do=_repair(subject, effect),
                )


def _at_its_level(subject: Subject, effect: Effect) -> bool:
    """Whether the field is where this model reads its fields; `nesting` reports the others."""
    checkpoint = subject.checkpoint
    at_level = effect.path[: len(checkpoint.text_path)] == checkpoint.text_path
    invented = not checkpoint.text_path and effect.path[0] == "text_config"
    layer_type = checkpoint.layer_type_of(effect.path)
    if layer_type is not None and not checkpoint.has_layer_type(layer_type):
        return False
    return at_level and not invented and not checkpoint.beside_layer_types(effect.path)


def _says_what_holds(subject: Subject, effect: Effect) -> bool:
    key, value = effect.path[-1], effect.value
    if value == ASKING[key]:
        return True
    holder = (subject.checkpoint.value(effect.path[:-1]) if len(effect.path) > 1 else None) or {}
    kind = holder.get("rope_type", holder.get("type", "default"))
    if key == "type" and holder.get("rope_type") == value:
        return True
    if key in INFORMS and kind in ("default", "linear", "proportional"):
        return True
    if key == "factor" and kind == "longrope" and "attention_factor" in holder:
        return True
    if key == "factor" and kind == "dynamic" and value == 1.0:
        return True
    if holder.get("factor") == 1.0 and key not in ("rope_theta", "rope_type", "type"):
        return True  # a rescaling by 1 changes nothing, and says so
    inner = effect.path[len(subject.checkpoint.text_path) :]
    if "wins over it" in effect.reason and key in INFORMS:
        return any(value == other for other in _in_force(subject, key))
    if inner[:1] in [(name,) for name in ROPE] and "lets it win" not in effect.reason:
        return _is_read(subject, inner[1:])  # read, and without effect by its value only
    return any(value == other for other in _in_force(subject, key))


def _is_read(subject: Subject, path: tuple[str, ...]) -> bool:
    """Whether a number is read while the model is built; by its name alone where transformers rearranged the dict."""
    held = getattr(subject.checkpoint.text, "rope_parameters", None) or {}
    for key in path:
        held = held.get(key) if isinstance(held, dict) else None
    reads = subject.observation.reads
    return path in reads if held is not None else any(read[-1] == path[-1] for read in reads)


def _in_force(subject: Subject, key: str) -> Iterator[Any]:
    """Values of the field in the rotation parameters that transformers ends up with."""
    found = getattr(subject.checkpoint.text, "rope_parameters", None) or {}
    nested = [value for value in found.values() if isinstance(value, dict)]
    for held in (found, *nested) if nested else (rope_parameters(subject.checkpoint.config),):
        if key in held:
            yield held[key]
        elif key == "type" and "rope_type" in held:
            yield held["rope_type"]


def _repair(subject: Subject, effect: Effect) -> str:
    inner = effect.path[len(subject.checkpoint.text_path) :]
    prefix = ".".join([*subject.checkpoint.text_path, "rope_parameters"])
    if inner[:1] == ("rope_parameters",) and "rope_scaling" in effect.reason:
        return "delete rope_scaling, or make the change there"
    if inner[:1] not in [(name,) for name in ROPE]:
        return f"write it as {prefix}.{effect.path[-1]}"
    if effect.path[-1] == "truncate" and subject.checkpoint.layer_type_of(effect.path) is not None:
        return f"write it as {prefix}.truncate"
    if "rope_type" in effect.reason:
        return "name the rope_type that reads it, or delete the field"
    return "delete the field, or write what the model reads in its place"
