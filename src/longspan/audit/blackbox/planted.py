"""Planted texts: what makes wrong position handling visible in the loss of single tokens.

A text is a part of a document in which passages of earlier parts are repeated word by word, most of them in its last
third and at every distance up to the whole text, and facts stand early whose questions and answers come late. A model
predicts a repeated passage well only where its attention reaches back to the first one and finds it.
"""

import random
from collections.abc import Sequence
from typing import Any

from longspan.bundled import words
from longspan.errors import InputError

PASSAGE = (12, 40)
"""Tokens of a passage, from … to; at most an eighth and a quarter of the text."""
SHARE = 0.5
"""The share of the last two thirds of a text that repeats earlier tokens."""
FACTS = 4
SHORTEST = 32
"""Tokens of the shortest text that something can be planted in."""


def planted(source: Sequence[int], length: int, tokenizer: Any, seed: int = 0) -> tuple[int, ...]:
    """Return a text of `length` tokens.

    Arguments:
        source: a document's token ids, without special tokens.
        tokenizer: writes the facts.
        seed: which part of the document, which passages and which facts.

    Errors: InputError where the document is shorter than the text, or the text than `SHORTEST`.
    """
    if length < SHORTEST:
        raise InputError(f"a planted text has at least {SHORTEST} tokens, got {length}")
    if len(source) < length:
        raise InputError(f"a document of {len(source)} tokens gives no text of {length}: give a longer one with --text")
    random_numbers = random.Random(seed)
    start = random_numbers.randrange(len(source) - length + 1)
    body = list(source[start : start + length])
    early, late = _facts(tokenizer, random_numbers)
    sizes = min(PASSAGE[0], length // 8), min(PASSAGE[1], length // 4)
    found = body[: length // 12]
    if 4 * (len(early) + len(late)) < length:
        found += early
    else:
        late = []
    while len(found) < length:
        if len(found) > length // 3 and random_numbers.random() < SHARE:
            size = random_numbers.randint(*sizes)
            begin = random_numbers.randrange(max(1, len(found) - size))
            found += found[begin : begin + size]
        else:
            found += body[len(found) : len(found) + random_numbers.randint(*sizes)]
    found = found[: length - len(late)] + late
    return tuple(found)


def _facts(tokenizer: Any, random_numbers: random.Random) -> tuple[list[int], list[int]]:
    """Sentences that state facts, and the questions about them with their answers."""
    lists = words()
    names, values = random_numbers.sample(lists.names, FACTS), random_numbers.sample(lists.values, FACTS)
    pairs = list(zip(names, values, strict=True))
    early = " ".join(lists.fact.replace("{name}", name).replace("{value}", value) for name, value in pairs)
    random_numbers.shuffle(pairs)
    late = " ".join(f"{lists.question.replace('{name}', name)} {value}." for name, value in pairs)
    return _ids(tokenizer, early), _ids(tokenizer, late)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(f" {text}", add_special_tokens=False, verbose=False)["input_ids"])
