"""Loading a model by the name a user gives: a Hugging Face id, a folder, a .gguf file, or `bundled`."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from longspan.errors import InputError
from longspan.pretrained import save as checkpoint

BUNDLED = "bundled"


def bundled(part: str) -> Path:
    """A folder of the bundled model: "model" or "documents"."""
    return Path(str(files("longspan.pretrained") / "bundled" / part))


def bundled_documents() -> tuple[Path, ...]:
    """The documents that ship with the bundled model and that it was not trained on."""
    folder = bundled("documents")
    return tuple(folder / name for name in json.loads((folder / "sha256.json").read_text(encoding="utf-8")))


def located(name: str) -> str:
    """Where the model is.

    Errors: InputError for what looks like a path and is not there.
    """
    if name == BUNDLED:
        return str(bundled("model"))
    path = Path(name)
    if not path.exists() and (path.suffix == ".gguf" or name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise InputError(f"no model {name!r}: give a folder, a .gguf file, a Hugging Face id, or 'bundled'")
    return name


def load(name: str, dtype: str | None = None) -> Any:
    """The model, ready to be read with; in the dtype it came in where none is named."""
    return checkpoint.load(located(name), dtype=None if dtype is None else getattr(torch, dtype))


def load_tokenizer(name: str) -> Any:
    """Its tokenizer.

    Errors: InputError where there is none.
    """
    try:
        return checkpoint.load_tokenizer(located(name))
    except (OSError, ValueError, KeyError) as error:
        words = " ".join(str(error).split())[:200]
        raise InputError(f"{name} has no tokenizer that can be read: {words}") from None
