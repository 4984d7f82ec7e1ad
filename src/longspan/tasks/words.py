"""The facts that are hidden and asked for: first names and everyday nouns, one token each in most vocabularies.

They ship with the bundled model, which was trained on other sentences of the same kind; every model is asked the same.
"""

import json
from importlib.resources import files

_SHIPPED = json.loads((files("longspan.bundled") / "words.json").read_text(encoding="utf-8"))

FACT: str = _SHIPPED["fact"]
QUESTION: str = _SHIPPED["question"]
NAMES: tuple[str, ...] = tuple(_SHIPPED["names"])
WORDS: tuple[str, ...] = tuple(_SHIPPED["values"])
