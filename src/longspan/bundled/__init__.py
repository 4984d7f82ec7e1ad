"""The bundled model, its documents and its word lists: a data package, read through the functions below only."""

import json
from dataclasses import dataclass
from pathlib import Path

NAME = "bundled"
"""What a user types in place of a path to get the bundled model."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Words:
    """The facts that the bundled model was trained to recall; other models are asked about the same ones.

    Arguments:
        fact: a sentence with `{name}` and `{value}`.
        question: the sentence up to its value, with `{name}`.
        names: first names.
        values: everyday nouns; names and values are one token each in most vocabularies.
    """

    fact: str
    question: str
    names: tuple[str, ...]
    values: tuple[str, ...]


def model_path() -> Path:
    """Return the folder of the bundled model and its tokenizer."""
    return _FOLDER / "model"


def documents() -> tuple[Path, ...]:
    """Return the documents that ship with the bundled model and that it was not trained on."""
    folder = _FOLDER / "documents"
    return tuple(folder / name for name in json.loads((folder / "sha256.json").read_text(encoding="utf-8")))


def words() -> Words:
    """Read the word lists; a fifth of all pairs of a name and a value was kept out of the model's training."""
    found = json.loads((_FOLDER / "words.json").read_text(encoding="utf-8"))
    return Words(found["fact"], found["question"], tuple(found["names"]), tuple(found["values"]))
