"""Text that surrounds what matters, in three grains: units (lines or sentences), then words, then characters."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import NamedTuple

NOISE = ("The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.", "There and back again.")
"""The sentences that passkey retrieval and RULER repeat.

Source: Mohtashami & Jaggi 2023, Landmark attention, arXiv:2305.16300; Hsieh et al. 2024, RULER, arXiv:2404.06654.
"""


class Amount(NamedTuple):
    """How much filler: so many units, then so many words of what follows, then so many characters of what follows."""

    units: int = 0
    words: int = 0
    characters: int = 0


Unit = Callable[[int], str | None]
"""The unit of an index; None where there is none."""


def filler(unit: Unit, amount: Amount, rest: Unit | None = None) -> list[str] | None:
    """Return so much filler, or None where there is less; the last piece may be a part of a unit.

    Arguments:
        unit: what the filler consists of.
        amount: how much.
        rest: what words and characters are taken from; by default the units that follow.
    """
    pieces = [unit(i) for i in range(amount.units)]
    following = _words(unit, amount.units) if rest is None else _words(rest, 0)
    cut = " ".join(islice(following, amount.words))
    after = "".join(islice(_characters(following, bool(cut)), amount.characters))
    if None in pieces or len(cut.split()) < amount.words or len(after) < amount.characters:
        return None
    found = [piece for piece in pieces if piece is not None]
    return [*found, cut + after] if cut + after else found


def _words(unit: Unit, start: int) -> Iterator[str]:
    for i in count(start):
        text = unit(i)
        if text is None:
            return
        yield from text.split()


def _characters(words: Iterator[str], inside: bool) -> Iterator[str]:
    """The characters of words with spaces between them, and before the first one where it is `inside` a text."""
    for word in words:
        if inside:
            yield " "
        yield from word
        inside = True
