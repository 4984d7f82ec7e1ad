"""Which position fields of a config do something: each is given other values, and the model is observed again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from longspan.audit.checkpoint import ROPE, Checkpoint, Path_, dotted
from longspan.errors import RefusalError
from longspan.pretrained.anatomy.config import ORIGINAL

POSITIONAL = re.compile(
    r"rope|rotary|position_emb|max_position|n_positions|n_ctx|sliding|window|attention_chunk|layer_types|yarn|ntk|theta"
    r"|attn_temperature|attn_scale|floor_scale|alibi|truncate|beta_fast|beta_slow|mscale|partial",
)
"""Names of fields that say, or could be meant to say, something about positions."""
FOREIGN = re.compile(r"vision|image|audio|video|pixel|patch|conv|mlp_layer|mtp|encoder_|relative_attention|logits")
"""Names of fields about other parts of a model."""
PAIRING = re.compile(r"interleave|mrope_section|rotary_style")
"""Names of fields that say which channels form a pair, or which pairs belong to which axis of an image."""
UNSCALED = ("default", "mrope")
"""Kinds of rotation without a rescaling; the second one spreads its pairs over the axes of an image."""
SHARPENING = re.compile(r"^attn_temperature|^attn_scale$|^floor_scale$|scaling_beta$")
"""Names of fields that scale queries by their position."""
OTHER_CONFIG = re.compile(r"_config$|^quantization|^generation|^context_extension$")
"""Names of dicts that describe something else."""


@dataclass(frozen=True)
class Effect:
    """What one field does.

    Arguments:
        path: the keys that lead to it.
        value: as written.
        does: True where another value changes frequencies, gain, windows, scaling or which layers rotate; False where
            no other value that was tried changes any; None where none could be tried.
        reason: why it does nothing, or why nothing could be tried; empty where it does something.
    """

    path: Path_
    value: Any
    does: bool | None
    reason: str = ""

    @property
    def where(self) -> str:
        """The field's name for people."""
        return dotted(self.path)


def effects(checkpoint: Checkpoint) -> tuple[Effect, ...]:
    """Try every position field of the written config.

    Errors: RefusalError where transformers cannot build the model as it is.
    """
    observed = checkpoint.observation
    if observed.unwatched and not observed.rotations:
        found = position_fields(checkpoint)
        return tuple(Effect(path, value, None, observed.unwatched) for path, value in found)
    before = observed.position_facts()
    return tuple(_effect(checkpoint, path, value, before) for path, value in position_fields(checkpoint))


def position_fields(checkpoint: Checkpoint) -> Iterator[tuple[Path_, Any]]:
    """Fields about positions with a value, at every level that a text model might read."""
    levels: list[Path_] = list(dict.fromkeys([(), checkpoint.text_path, ("text_config",)]))
    for level in levels:
        held = checkpoint.value(level) if level else checkpoint.raw
        for key, value in (held or {}).items():
            positional = POSITIONAL.search(key) or (isinstance(value, dict) and _like_rope(key))
            if positional and not FOREIGN.search(key) and not OTHER_CONFIG.search(key):
                yield from _leaves((*level, key), value)


def _like_rope(key: str) -> bool:
    return any(word in key for word in ROPE)


def _leaves(path: Path_, value: Any) -> Iterator[tuple[Path_, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    elif value is not None:
        yield path, value


def _effect(checkpoint: Checkpoint, path: Path_, value: Any, before: tuple[object, ...]) -> Effect:
    if PAIRING.search(path[-1]):
        return Effect(
            path, value, None, "it says which channels form a pair, which a model without values does not show"
        )
    if SHARPENING.search(path[-1]):
        return Effect(path, value, None, "it scales queries by position, which a model without values does not show")
    if value in UNSCALED:
        return Effect(path, value, None, "it asks for no rescaling")
    tried = False
    for other in others(path[-1], value):
        try:
            after = checkpoint.changed(path, other)
        except RefusalError:
            continue
        tried = True
        if after.position_facts() != before:
            return Effect(path, value, True)
    if not tried:
        return Effect(path, value, None, "no other value could be tried")
    return Effect(path, value, False, reason(checkpoint, path))


def others(key: str, value: Any) -> list[Any]:
    """Values to try in the place of one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value, max(1, value // 2), value + 1] if value > 0 else [1, 2]
    if isinstance(value, float):
        return [1.5 * value, value / 1.5] if value else [0.5]
    if isinstance(value, str):
        return [kind for kind in ("default", "linear") if kind != value] if key in ("rope_type", "type") else []
    if isinstance(value, list) and value:
        if all(each in (0, 1) for each in value):
            return [[1 - int(each) for each in value]]
        if all(isinstance(each, int | float) for each in value):
            return [[each * 1.5 for each in value], value[::-1]]
        return [[kind] * len(value) for kind in dict.fromkeys(map(str, value))] + [value[::-1]]
    return []


def reason(checkpoint: Checkpoint, path: Path_) -> str:
    """Why a field does nothing, as far as the config tells."""
    *outer, key = path
    level = tuple(outer[: len(checkpoint.text_path)])
    if level != checkpoint.text_path:
        return f"the text model reads {dotted(checkpoint.text_path)}"
    if outer[:1] == ["text_config"] and not checkpoint.text_path:
        return f"{checkpoint.kind.__name__} is a text model and reads no text_config"
    holder = checkpoint.value(tuple(outer)) if outer else {}
    if "rope_parameters" in outer and isinstance(checkpoint.value((*level, "rope_scaling")), dict):
        return "rope_scaling is there too, and transformers lets it win"
    if key == ORIGINAL and len(outer) > len(level) and checkpoint.layer_type_of(path) is None:
        if checkpoint.value((*level, ORIGINAL)) is not None:
            return f"{dotted((*level, ORIGINAL))} beside the rotation parameters wins over it"
    if key in ("max_position_embeddings", "n_positions", "n_ctx"):
        return "it promises a length; no rotation of this model reads it"
    if key in ("rope_theta", "partial_rotary_factor") and not outer[len(level) :]:
        return "a value inside the rotation parameters wins over it"
    if "window" in key or "sliding" in key or key == "layer_types":
        return "it changes no layer's window"
    if key == "truncate" and checkpoint.layer_type_of(path) is not None:
        return "transformers looks for it beside the layer types only"
    if any(name in outer for name in ROPE) and key not in ("rope_type", "type"):
        kind = (holder or {}).get("rope_type", (holder or {}).get("type"))
        if kind is None:
            return "no rope_type says what it is for"
        return f"rope_type {kind!r} " + (
            "does not read it" if (holder or {}).get("factor") != 1 else "has a factor of 1"
        )
    return "neither frequencies nor windows nor scaling change with it"
