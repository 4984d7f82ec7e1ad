"""A checkpoint as an audit sees it: its config as it was written, and how transformers reads that.

Experiments change single fields of the written config and let transformers read it again.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from longspan.audit.gguf_header import GgufHeader, read_header
from longspan.audit.watching.observation import Observation, observe, silent
from longspan.errors import RefusalError, nearest
from longspan.measure.models.loading import located
from longspan.pretrained.storing.checkpoint import hub_settings, refusing
from longspan.pretrained.storing.save import read_config

Path_ = tuple[str, ...]
"""Keys that lead to a field of a config."""
ROPE = ("rope_parameters", "rope_scaling")
"""Keys of a dict that says how a model rotates; transformers lets the second win where both are there."""

PROMISED = "max_position_embeddings"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What is audited.

    Arguments:
        name: what the user calls it.
        raw: the config as written; for a GGUF file, the config that its header is read as.
        kind: the class that reads it.
        gguf: the position fields of a GGUF file's header; None for other checkpoints.
    """

    name: str
    raw: dict[str, Any]
    kind: type[PreTrainedConfig]
    gguf: GgufHeader | None = None

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The config as transformers reads it.

        Errors: RefusalError where transformers refuses it.
        """
        return self.reread(self.raw)

    @cached_property
    def text(self) -> PreTrainedConfig:
        """The part of the config that describes the text model."""
        found: object = self.config.get_text_config(decoder=True)
        return found if isinstance(found, PreTrainedConfig) else self.config  # a dict, in a family without such a part

    @cached_property
    def text_path(self) -> Path_:
        """Where the text model's fields are in the written config: () or a key such as ("text_config",).

        () for a flat config of a wrapper, as Qwen2-VL published it: its class hands the fields on to the text model.
        """
        try:
            whole, text = self.config, self.text
        except RefusalError:
            return ("text_config",) if "text_config" in parts_of(self.kind) else ()
        names = (name for name in parts_of(self.kind) if getattr(whole, name, None) is text)
        found = next(((name,) for name in names if text is not whole), ())
        return () if found and self._is_flat(found) else found

    def _is_flat(self, part: Path_) -> bool:
        """Whether a part is not written, and another promised length at the outermost level reaches it."""
        if self.value(part) is not None:
            return False
        other = 1 + max(1, int(getattr(self.text, PROMISED, None) or 0))
        try:
            text = self.reread(self.raw | {PROMISED: other}).get_text_config(decoder=True)
        except RefusalError:
            return False
        return getattr(text, PROMISED, None) == other

    @cached_property
    def observation(self) -> Observation:
        """What the model does.

        Errors: RefusalError where transformers cannot build it.
        """
        return observe(self.config)

    def reread(self, raw: dict[str, Any]) -> PreTrainedConfig:
        """Let transformers read a written config.

        Errors: RefusalError where transformers refuses it.
        """
        with silent(), refusing("transformers cannot read the config"):
            return self.kind.from_dict(copy.deepcopy(raw))

    def changed(self, path: Path_, value: Any) -> Observation:
        """What the model does with another value in one field.

        Errors: RefusalError where transformers cannot read the config or build the model.
        """
        raw = copy.deepcopy(self.raw)
        holder = raw
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
        return observe(self.reread(raw), cache=False)

    def value(self, path: Path_) -> Any:
        """A field as written, None where it is absent."""
        found: Any = self.raw
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def level_of(self, path: Path_) -> Path_:
        """The part of the config that a field is in: the text model's, or the outermost."""
        return self.text_path if path[: len(self.text_path)] == self.text_path else ()

    def beside_layer_types(self, path: Path_) -> bool:
        """Whether a field of rotation parameters has dicts of single layer types beside it."""
        holder = self.value(path[:-1]) if len(path) > 1 else None
        if not isinstance(holder, dict) or path[len(path) - 2] not in ROPE:
            return False
        return any(isinstance(value, dict) for value in holder.values())

    def layer_type_of(self, path: Path_) -> str | None:
        """The layer type that a field of rotation parameters is for; None for a field of all layers."""
        inner = path[len(self.level_of(path)) :]
        return inner[1] if len(inner) > 2 and inner[0] in ROPE else None

    def has_layer_type(self, layer_type: str) -> bool:
        """Whether transformers looks up rotation parameters under this layer type in this model."""
        labels = getattr(self.text, "_rope_type_labels", None) or getattr(self.text, "layer_types", None) or ()
        return layer_type in labels

    def rope_paths(self) -> list[Path_]:
        """Where dicts about the rotation are written, in any part of the config that a text model might read."""
        levels: list[Path_] = list(dict.fromkeys([(), self.text_path, ("text_config",)]))
        return [(*level, key) for level in levels for key in ROPE if isinstance(self.value((*level, key)), dict)]

    def rope_sets(self) -> Iterator[tuple[Path_, dict[str, Any]]]:
        """Every set of rotation parameters as written: a dict, or the dicts per layer type that it holds."""
        for path in self.rope_paths():
            held = self.value(path)
            nested = {key: value for key, value in held.items() if isinstance(value, dict)}
            if not nested or any(not isinstance(value, dict) for value in held.values()):
                yield path, {key: value for key, value in held.items() if not isinstance(value, dict)}
            for key, value in nested.items():
                yield (*path, key), value


def parts_of(kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """The configs inside a config, by the names of their fields."""
    parts: Any = kind.sub_configs  # a property of the class
    return parts


def dotted(path: Path_) -> str:
    """A field's name for people: its keys joined by dots."""
    return ".".join(path)


def read(name: str) -> Checkpoint:
    """The checkpoint of a name: a Hugging Face id, a folder, a .gguf file, or `bundled`. Weights are not read.

    Errors: RefusalError where there is none, or its config is of no type that transformers knows.
    """
    source = located(name)
    if Path(source).suffix == ".gguf":
        config, _ = read_config(source)
        return Checkpoint(name, config.to_dict(), type(config), read_header(Path(source)))
    with silent(), refusing(f"cannot read the config of {name}"):
        raw, _ = PreTrainedConfig.get_config_dict(source, **hub_settings(source))
    if not isinstance(raw, dict) or not raw:
        raise RefusalError(f"{name} has no config.json that could be read: give a folder that holds one")
    return of_raw(name, raw)


def of_raw(name: str, raw: dict[str, Any]) -> Checkpoint:
    """The checkpoint of a written config.

    Errors: RefusalError where transformers knows no such model type.
    """
    kind = raw.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        near = nearest(kind, CONFIG_MAPPING.keys()) if isinstance(kind, str) else ""
        raise RefusalError(
            f"the config of {name} names the model_type {kind!r}, which this version of transformers does not know"
            f"{near}; an audit runs no code that comes with a checkpoint"
        )
    return Checkpoint(name, raw, CONFIG_MAPPING[kind])
