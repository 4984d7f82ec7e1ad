"""Load a model by the name a user gives: a Hugging Face id, a folder, a .gguf file, or `bundled`."""

from typing import Any

import torch

from longspan import bundled
from longspan.pretrained.attach import detach
from longspan.pretrained.storing import save as checkpoint
from longspan.pretrained.storing.checkpoint import refusing

SAMPLE = "a b c . 0 é"
"""A text that every tokenizer must be able to encode."""


def located(name: str) -> str:
    """Return what the libraries load for a name."""
    return str(bundled.model_path()) if name == bundled.NAME else name


def load(name: str, dtype: str | None = None) -> Any:
    """Load the model without any extension, ready to read; in the dtype it was saved in unless one is given."""
    return detach(checkpoint.load(located(name), dtype=None if dtype is None else getattr(torch, dtype)))


def load_tokenizer(name: str) -> Any:
    """Load the model's tokenizer and try it on a text.

    Errors: RefusalError where there is none that can be read and used.
    """
    tokenizer = checkpoint.load_tokenizer(located(name))
    with refusing(f"the tokenizer of {name} cannot encode a text"):
        tokenizer(SAMPLE)
    return tokenizer
