"""The extended model on disk, beside the measurements that chose it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from longspan.measure.models.loading import located
from longspan.pretrained.storing.save import load, overwrite


def write_model(
    folder: Path,
    name: str,
    method: str,
    length: int,
    tokenizer: Any,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write a model with a method, in the dtype it was published in, and return its folder.

    A folder that holds the same extension already is left alone.

    Arguments:
        folder: where to.
        name: the model, as `longspan.measure.models.loading.load` takes it.
        method: a scheme's text.
        length: tokens to read, N.
        say: takes a line about how much is going to be written.

    Errors: InputError where the folder cannot be written.
    """
    if _extension(folder) == [method, length]:
        return folder
    model = load(located(name), method, length=length)
    packed = Path(located(name))
    unpacked = f", unpacked from {decimal(packed.stat().st_size)}" if packed.suffix == ".gguf" else ""
    say(f"writing the model with {method} to {folder}: {decimal(model.get_memory_footprint())}{unpacked}")
    return overwrite(model, folder, tokenizer=tokenizer)


def _extension(folder: Path) -> list[Any] | None:
    """The extension of the model in a folder; None where there is no model, or no weights."""
    try:
        found = json.loads((folder / "config.json").read_text())["context_extension"]
        extension = [found["scheme"], found["length"]]
    except (OSError, ValueError, LookupError, TypeError):  # not what `save` writes
        return None
    return extension if any(folder.glob("*.safetensors")) else None
