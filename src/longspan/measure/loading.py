"""Loading a model by the name a user gives: a Hugging Face id, a folder, a .gguf file, or `bundled`."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from longspan.pretrained.storing import save as checkpoint
from longspan.pretrained.storing.checkpoint import refusing

BUNDLED = "bundled"


def bundled(part: str) -> Path:
    """A folder of the bundled model: "model" or "documents"."""
    return Path(str(files("longspan.bundled") / part))


def bundled_documents() -> tuple[Path, ...]:
    """The documents that ship with the bundled model and that it was not trained on."""
    folder = bundled("documents")
    return tuple(folder / name for name in json.loads((folder / "sha256.json").read_text(encoding="utf-8")))


def located(name: str) -> str:
    """What the library is given for the name."""
    return str(bundled("model")) if name == BUNDLED else name


def load(name: str, dtype: str | None = None) -> Any:
    """The model, ready to be read with; in the dtype it came in where none is named."""
    return checkpoint.load(located(name), dtype=None if dtype is None else getattr(torch, dtype))


def load_tokenizer(name: str) -> Any:
    """Its tokenizer, which has encoded a text.

    Errors: RefusalError where there is none that can be read and used.
    """
    tokenizer = checkpoint.load_tokenizer(located(name))
    with refusing(f"the tokenizer of {name} cannot encode a text"):
        tokenizer("a b c . 0 é")
    return tokenizer
