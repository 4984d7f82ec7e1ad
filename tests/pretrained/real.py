"""Real models in the user's cache, where make targets put them, and a text to read."""

import os
import pydoc_data.topics
from pathlib import Path

from torch import Tensor

from longspan.pretrained.storing.save import load_tokenizer

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "longspan"
SMOLLM2 = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = CACHE / "gemma-3-270m-q4_k_m.gguf"


def text(length: int) -> str:
    """The opening of Python's own help, so many characters."""
    return " ".join(pydoc_data.topics.topics.values())[:length]


def words_of(file: Path, length: int) -> Tensor:
    """So many tokens of it, one row."""
    return load_tokenizer(file)(text(14 * length), return_tensors="pt").input_ids[:, :length]
