"""A misspelt field: transformers keeps fields that it does not know, and nothing reads them."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches

from transformers.modeling_rope_utils import RopeParameters

from longspan.audit.checkpoint import ROPE, Checkpoint, Path_, dotted, parts_of
from longspan.audit.fields import FOREIGN, OTHER_CONFIG
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import RefusalError, shown

NUMBERS = (*RopeParameters.__annotations__, "type")
"""Fields of rotation parameters."""
FIELDS = (
    *ROPE,
    "rope_theta",
    "partial_rotary_factor",
    "max_position_embeddings",
    "original_max_position_embeddings",
    "sliding_window",
    "layer_types",
)
"""Fields outside them that people edit."""
ALIKE = 0.8
"""How alike two names must be, as `difflib` counts, for one to be a misspelling of the other."""


def check(subject: Subject) -> Iterator[Finding]:
    """Report fields that resemble a known one, that the family's code does not mention, and that do nothing."""
    checkpoint = subject.checkpoint
    for path, given in checkpoint.rope_sets():
        for key in given:
            if key not in NUMBERS and not mentioned(checkpoint, key):
                yield from _finding(subject, (*path, key), key, NUMBERS)
    for level in dict.fromkeys([(), checkpoint.text_path]):
        held = checkpoint.value(level) if level else checkpoint.raw
        for key in held or {}:
            if key not in FIELDS and not OTHER_CONFIG.search(key) and not FOREIGN.search(key):
                if get_close_matches(key, FIELDS, 1, ALIKE) and not mentioned(checkpoint, key):
                    yield from _finding(subject, (*level, key), key, FIELDS)


def _finding(subject: Subject, path: Path_, key: str, known: tuple[str, ...]) -> Iterator[Finding]:
    inside = any(part in path[:-1] for part in ROPE)
    near = get_close_matches(key, known, 1, ALIKE)
    if near and subject.checkpoint.value((*path[:-1], near[0])) == subject.checkpoint.value(path):
        return  # it repeats a field that is read, as Gemma 2's sliding_window_size does
    if near and near[0] in known:
        yield Finding(
            check="misspelt",
            severity="failure",
            where=dotted(path),
            what="nothing reads a field of this name",
            given=shown(subject.checkpoint.value(path)),
            do=f"write {near[0]}",
        )
    elif inside:
        yield Finding(
            check="misspelt",
            severity="warning",
            where=dotted(path),
            what="transformers and the code of this family do not mention this field",
            given=shown(subject.checkpoint.value(path)),
            do="delete it, or check its name",
        )


def mentioned(checkpoint: Checkpoint, key: str) -> bool:
    """Whether a config class of the family has a field, or its config and modeling code mention the name."""
    kinds = {checkpoint.kind, *parts_of(checkpoint.kind).values()}
    with suppress(RefusalError):
        kinds.add(type(checkpoint.text))
    return any(
        key in getattr(kind, "attribute_map", ()) or hasattr(kind, key) or _in_source(kind, key) for kind in kinds
    )


def _in_source(kind: type, key: str) -> bool:
    """Whether the module that defines a config, or the modeling module beside it, quotes a name or dots it."""
    names = (kind.__module__, kind.__module__.replace(".configuration_", ".modeling_"))
    modules = [sys.modules[name] for name in names if name in sys.modules]
    return any(f'"{key}"' in text or f".{key}" in text for text in map(inspect.getsource, modules))
