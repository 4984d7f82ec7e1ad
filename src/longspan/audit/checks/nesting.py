"""A field at the wrong level: beside the text model's config, in a text_config of a plain model, beside layer types."""

from collections.abc import Iterator

from transformers.configuration_utils import ALLOWED_LAYER_TYPES

from longspan.audit.checkpoint import ROPE, dotted, parts_of
from longspan.audit.fields import Effect
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import shown

MOVED = (
    "rope_theta",
    "max_position_embeddings",
    "sliding_window",
    "partial_rotary_factor",
    "original_max_position_embeddings",
)
"""Fields outside the rotation parameters that people edit at the wrong level."""


def check(subject: Subject) -> Iterator[Finding]:
    """Report fields without effect at a level that the text model does not read."""
    yield from _text_config_of_a_text_model(subject)
    if subject.refusal:
        return
    reported: set[tuple[str, ...]] = set()
    for effect in subject.effects:
        if effect.does is not False:
            continue
        found = (
            _elsewhere(subject, effect) or _beside_layer_types(subject, effect) or _unknown_layer_type(subject, effect)
        )
        if found and found[0] not in reported:
            reported.add(found[0])
            where, what, do = found
            yield Finding("nesting", "failure", dotted(where), what, shown(subject.checkpoint.value(where)), do)


def _text_config_of_a_text_model(subject: Subject) -> Iterator[Finding]:
    """Report a text_config of a family without parts: transformers takes it for the config that describes the text."""
    checkpoint = subject.checkpoint
    if isinstance(checkpoint.raw.get("text_config"), dict) and "text_config" not in parts_of(checkpoint.kind):
        yield Finding(
            check="nesting",
            severity="failure",
            where="text_config",
            what=f"{checkpoint.kind.__name__} is a text model without parts: transformers cannot build it with this",
            given=shown(checkpoint.raw["text_config"]),
            do="move its fields to the outermost level",
        )


Found = tuple[tuple[str, ...], str, str]


def _elsewhere(subject: Subject, effect: Effect) -> Found | None:
    """A field beside the text model's part of the config."""
    path = subject.checkpoint.text_path
    if not path or effect.path[: len(path)] == path or effect.path[0] not in (*ROPE, *MOVED):
        return None
    where, right = effect.path[:1], (*path, effect.path[0])
    if subject.checkpoint.value(right) == subject.checkpoint.value(where):
        return None  # it repeats what holds
    if _in_force(subject, effect.path, effect.value):
        return None
    return where, f"the text model does not read it there: {effect.reason}", f"move it to {dotted(right)}"


def _in_force(subject: Subject, inner: tuple[str, ...], value: object) -> bool:
    held: object = getattr(subject.checkpoint.text, inner[0], None)
    for key in inner[1:]:
        held = held.get(key) if isinstance(held, dict) else None
    return held == value


def _beside_layer_types(subject: Subject, effect: Effect) -> Found | None:
    """A number beside the dicts of single layer types, which win over it."""
    *outer, key = effect.path
    if not subject.checkpoint.beside_layer_types(effect.path):
        return None
    holder = subject.checkpoint.value(tuple(outer)) or {}
    kinds = [name for name, value in holder.items() if isinstance(value, dict)]
    if not kinds or all(holder[kind].get(key) == effect.value for kind in kinds):
        return None
    if effect.value in ("default", 1.0, None):
        return None
    return (
        effect.path,
        "this model has one set of numbers per layer type and reads none beside them",
        (f"move it into {' or '.join(kinds)}"),
    )


def _unknown_layer_type(subject: Subject, effect: Effect) -> Found | None:
    """A dict for a layer type that no layer of this model has."""
    checkpoint, layer_type = subject.checkpoint, subject.checkpoint.layer_type_of(effect.path)
    if layer_type is None or checkpoint.has_layer_type(layer_type):
        return None
    outer = effect.path[:-1]
    given = checkpoint.value(outer)
    if layer_type in ALLOWED_LAYER_TYPES and given.get("rope_type", given.get("type", "default")) == "default":
        return None  # families write plain numbers for types that a model of theirs may have
    types = list(dict.fromkeys(getattr(checkpoint.text, "layer_types", None) or ()))
    what = f"no layer of this model has that type (its types: {', '.join(types) or 'it names none'})"
    return outer, what, "name one of its types" if types else f"write the numbers directly in {dotted(outer[:-1])}"
