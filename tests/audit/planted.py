"""Silent mistakes, planted into the written config of any family they can happen to."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from longspan.audit.checkpoint import Checkpoint, Path_

FACTOR = 4.0
LENGTH = 4096


@dataclass(frozen=True)
class Mistake:
    """One way to get a config wrong.

    Arguments:
        name: what it is.
        check: the check that must find it.
        plant: changes a written config in place, given where its rotation parameters are; False where it cannot happen.
    """

    name: str
    check: str
    plant: Callable[[Checkpoint, dict[str, Any]], bool]

    def planted(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """The checkpoint with the mistake; None where it cannot happen to this family."""
        raw = copy.deepcopy(checkpoint.raw)
        return Checkpoint(checkpoint.name, raw, checkpoint.kind) if self.plant(checkpoint, raw) else None


def held(raw: dict[str, Any], path: Path_) -> Any:
    for key in path:
        raw = raw[key]
    return raw


def rope(checkpoint: Checkpoint, raw: dict[str, Any]) -> dict[str, Any] | None:
    """The set of rotation parameters of layers that are rotated by it; None for a family without one."""
    for path, given in checkpoint.rope_sets():
        used = checkpoint.observation.rotations
        layer_type = path[-1] if len(path) > len(checkpoint.text_path) + 1 else None
        rotated = [rotation for rotation in used if rotation.layer_type in (None, layer_type)]
        if given.get("rope_theta") and any(len(rotation.frequencies) >= 2 for rotation in rotated):
            return held(raw, path)
    return None


def text(checkpoint: Checkpoint, raw: dict[str, Any]) -> dict[str, Any]:
    return held(raw, checkpoint.text_path)


def rescaled(given: dict[str, Any], kind: str, **numbers: Any) -> None:
    """The parameters, with a rescaling in the place of what they had."""
    kept = {key: value for key, value in given.items() if key in ("rope_theta", "partial_rotary_factor")}
    given.clear()
    given.update(kept, rope_type=kind, factor=FACTOR, **numbers)


def no_original(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """max_position_embeddings is raised, and YaRN is not told what it was."""
    given = rope(checkpoint, raw)
    if given is None or "max_position_embeddings" not in text(checkpoint, raw):
        return False
    rescaled(given, "yarn")
    part = text(checkpoint, raw)
    part.pop("original_max_position_embeddings", None)
    part["max_position_embeddings"] = int(FACTOR) * LENGTH
    return True


def misspelt_number(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    given = rope(checkpoint, raw)
    if given is None:
        return False
    rescaled(given, "yarn", original_max_position_embeddings=LENGTH, attn_factor=1.5)
    return True


def misspelt_field(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    text(checkpoint, raw)["rope_scalling"] = {"rope_type": "yarn", "factor": FACTOR}
    return rope(checkpoint, raw) is not None


def unknown_type(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    given = rope(checkpoint, raw)
    if given is None:
        return False
    rescaled(given, "yarnn", original_max_position_embeddings=LENGTH)
    return True


def dynamic(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    given = rope(checkpoint, raw)
    if given is None:
        return False
    rescaled(given, "dynamic")
    return True


def without_type(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """A factor, and no word on what to do with it."""
    given = rope(checkpoint, raw)
    if given is None:
        return False
    rescaled(given, "yarn")
    del given["rope_type"]
    return True


def shadowed(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """rope_parameters are edited where rope_scaling is there too."""
    given, part = rope(checkpoint, raw), text(checkpoint, raw)
    if given is None or given is not part.get("rope_parameters"):
        return False
    part["rope_scaling"] = copy.deepcopy(given)
    rescaled(given, "linear")
    read = checkpoint.reread(raw).get_text_config(decoder=True).rope_parameters
    return read.get("factor") != FACTOR  # a few families let rope_parameters win


def ignored(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """rope_scaling is added to a config that has rope_parameters, in a family that lets those win."""
    given, part = rope(checkpoint, raw), text(checkpoint, raw)
    if given is None or given is not part.get("rope_parameters"):
        return False
    part["rope_scaling"] = {"rope_type": "linear", "factor": FACTOR}
    read = checkpoint.reread(raw).get_text_config(decoder=True).rope_parameters
    return read.get("factor") != FACTOR


def beside_text(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """A wrapper's outermost level."""
    if not checkpoint.text_path or rope(checkpoint, raw) is None:
        return False
    raw["rope_scaling"] = {"rope_type": "linear", "factor": FACTOR}
    return True


def in_text_config(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """A plain model's config with the part of a wrapper."""
    if checkpoint.text_path or "text_config" in raw or rope(checkpoint, raw) is None:
        return False
    raw["text_config"] = {"rope_parameters": {"rope_type": "linear", "factor": FACTOR, "rope_theta": 1e4}}
    return True


def beside_layer_types(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """A factor for all, where there is one set per layer type."""
    given, part = rope(checkpoint, raw), text(checkpoint, raw)
    if given is None or given is part.get("rope_parameters"):
        return False
    part["rope_parameters"].update(rope_type="linear", factor=FACTOR)
    return True


def truncate_per_type(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """transformers reads `truncate` beside the layer types only."""
    given, part = rope(checkpoint, raw), text(checkpoint, raw)
    if given is None or given is part.get("rope_parameters"):
        return False
    rescaled(given, "yarn", original_max_position_embeddings=LENGTH, truncate=False)
    return True


def in_the_base(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """The base is raised as NTK-aware scaling does, and a factor is written as well."""
    given = rope(checkpoint, raw)
    if given is None or given is not text(checkpoint, raw).get("rope_parameters"):
        return False
    dim = max(2 * len(rotation.frequencies) for rotation in checkpoint.observation.rotations)
    if dim <= 2:
        return False
    rescaled(given, "linear")
    given["rope_theta"] = 1e4 * FACTOR ** (dim / (dim - 2))
    return True


def two_temperatures(checkpoint: Checkpoint, raw: dict[str, Any]) -> bool:
    """DeepSeek's attention has a temperature of its own, which `mscale` keeps cosine and sine out of."""
    given = rope(checkpoint, raw)
    if given is None or checkpoint.kind.model_type not in ("deepseek_v3", "glm4_moe_lite", "youtu", "axk1"):
        return False
    rescaled(given, "yarn", original_max_position_embeddings=LENGTH, mscale_all_dim=1.0)
    return True


MISTAKES = (
    Mistake("no original length", "original_length", no_original),
    Mistake("misspelt number", "misspelt", misspelt_number),
    Mistake("misspelt field", "misspelt", misspelt_field),
    Mistake("unknown rope_type", "builds", unknown_type),
    Mistake("dynamic NTK", "changing", dynamic),
    Mistake("no rope_type", "no_effect", without_type),
    Mistake("shadowed by rope_scaling", "no_effect", shadowed),
    Mistake("ignored rope_scaling", "no_effect", ignored),
    Mistake("truncate per layer type", "no_effect", truncate_per_type),
    Mistake("beside the text model", "nesting", beside_text),
    Mistake("a text_config too many", "nesting", in_text_config),
    Mistake("beside layer types", "nesting", beside_layer_types),
    Mistake("factor in the base", "twice", in_the_base),
    Mistake("two temperatures", "twice", two_temperatures),
)
