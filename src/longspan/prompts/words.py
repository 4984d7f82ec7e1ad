"""Words to hide, count and ask for: those of the bundled model's facts and of the documents that ship with it."""

import random
import re
from collections.abc import Iterator
from itertools import islice

from longspan import bundled
from longspan.memo import remember

WORD = re.compile(r"\b[a-z]{4,10}\b")
"""Lower-case words of the bundled documents: neither names nor the shortest words."""


@remember(1)
def vocabulary() -> tuple[str, ...]:
    """Return about 4,000 English words, sorted."""
    texts = (path.read_text(encoding="utf-8") for path in bundled.documents())
    return tuple(sorted({word for text in texts for word in WORD.findall(text)}))


def pairs(generator: random.Random) -> Iterator[str]:
    """Yield different pairs of everyday nouns, `bagel-balcony`, then triples: there are two million."""
    nouns, seen = bundled.words().values, set[str]()
    for parts, most in ((2, len(nouns) ** 2 // 2), (3, len(nouns) ** 3 // 2)):
        while len(seen) < most:
            made = "-".join(generator.sample(nouns, parts))
            if made not in seen:
                seen.add(made)
                yield made


def different(generator: random.Random) -> Iterator[str]:
    """Yield different words in random order, single ones first, then pairs of nouns."""
    yield from generator.sample(vocabulary(), len(vocabulary()))
    yield from pairs(generator)


def countable(generator: random.Random, common: int) -> Iterator[str]:
    """Yield different words; none contains another one of the first `common`, so that a search finds only those."""
    words = different(generator)
    first: list[str] = []
    for word in words:
        if not any(word in other or other in word for other in first):
            first.append(word)
            yield word
        if len(first) == common:
            break
    yield from (word for word in words if not any(other in word for other in first))


def name_pool(generator: random.Random, text: str, count: int) -> list[str]:
    """Return so many different first names that the text does not contain, or all there are."""
    unused = _unused(text)
    return list(islice(generator.sample(unused, len(unused)), count))


@remember(4)
def _unused(text: str) -> tuple[str, ...]:
    return tuple(name for name in bundled.words().names if name not in text)
