"""Needles in a haystack as RULER makes them: keys with values, hidden in noise, in a text or among other needles.

    One of the special magic numbers for amber-acrobat is: 1234567.

Source: Hsieh et al. 2024, RULER, arXiv:2404.06654, appendix B; NVIDIA/RULER, scripts/data/synthetic/niah.py.
Differs: keys are pairs of the bundled nouns, not of an adjective and a noun from a word list that is not shipped, and
never equal; the text is the user's own, not essays; needles may be anywhere between units; the order of needles is
drawn for each example; prompts come within 3 % of the wanted length.
"""

import random
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from longspan.errors import InputError
from longspan.prompts.example import Draft
from longspan.prompts.filler import NOISE, Amount, Unit, filler
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.prompts.sentences import sentences, spaced
from longspan.prompts.task import PromptTask, Request
from longspan.prompts.words import pairs

NEEDLE = "One of the special magic {kind} for {key} is: {value}."
BEFORE = (
    "Some special magic {kind} are hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the {kind} afterwards.\n"
)
QUESTION = (
    "\nWhat are all the special magic {kind} for {query} mentioned in the provided text?"
    " The special magic {kind} for {query} mentioned in the provided text are"
)
DEPTHS = tuple(round(100 * i / 39) / 100 for i in range(40))
"""Where in a text needles may be: 0 is its start, 1 its end."""


@dataclass(frozen=True)
class Kind(ABC):
    """What keys or values are."""

    plural: ClassVar[str]

    @abstractmethod
    def different(self, generator: random.Random) -> Iterator[str]:
        """Yield different ones."""


class Words(Kind):
    """Pairs of nouns, `amber-acrobat`."""

    plural = "words"

    def different(self, generator: random.Random) -> Iterator[str]:
        """Yield different pairs."""
        return pairs(generator)


class Numbers(Kind):
    """Numbers of seven digits."""

    plural = "numbers"

    def different(self, generator: random.Random) -> Iterator[str]:
        """Yield different numbers."""
        yield from _different(lambda: str(generator.randint(10**6, 10**7 - 1)))


class Uuids(Kind):
    """UUIDs of version 4."""

    plural = "uuids"

    def different(self, generator: random.Random) -> Iterator[str]:
        """Yield different UUIDs."""
        yield from _different(lambda: str(uuid.UUID(int=generator.getrandbits(128), version=4)))


@dataclass(frozen=True)
class Haystack(ABC):
    """What needles are hidden in."""

    after: ClassVar[str] = "\n"
    """The white space after each needle."""
    most: ClassVar[int] = 10_000
    """How many needles there may be."""

    @abstractmethod
    def pieces(self, text: str, amount: Amount, needles: Iterator[str]) -> list[str] | None:
        """Return so much haystack, with the white space after each piece; None where there is not so much.

        Arguments:
            text: the user's.
            amount: how much.
            needles: more needles, of other keys.
        """

    def depths(self, generator: random.Random, count: int) -> list[float]:
        """Draw where needles are, each as a share of the haystack's units."""
        return [generator.random() for _ in range(count)]


class Noise(Haystack):
    """Five short sentences, repeated, one repetition a line."""

    def pieces(self, text: str, amount: Amount, needles: Iterator[str]) -> list[str] | None:
        """Return so many lines."""
        return lines(lambda _: " ".join(NOISE), amount)


class Document(Haystack):
    """The user's own text, from its beginning, cut between sentences."""

    after = " "
    most = len(DEPTHS)

    def pieces(self, text: str, amount: Amount, needles: Iterator[str]) -> list[str] | None:
        """Return so many sentences.

        Errors: InputError where there is no text.
        """
        found = sentences(text)
        if not found:
            raise InputError("this task hides its needles in a text: give one, got an empty one")
        pieces = filler(lambda i: found[i] if i < len(found) else None, amount)
        return None if pieces is None else spaced(pieces)

    def depths(self, generator: random.Random, count: int) -> list[float]:
        """Draw different ones of 40 depths."""
        return generator.sample(DEPTHS, count)


class OtherNeedles(Haystack):
    """Needles of other keys: every line may be the one that is asked for. Words that are left over are noise."""

    def pieces(self, text: str, amount: Amount, needles: Iterator[str]) -> list[str] | None:
        """Return so many needles."""
        others = list(islice(needles, amount.units))
        return lines(lambda i: others[i], amount, lambda _: " ".join(NOISE))


@dataclass(frozen=True)
class NeedleTask(PromptTask):
    """Values of keys, hidden and asked for.

    Arguments:
        keys: how many keys have values, at least 1; at most 40 values are hidden in a text, 10,000 elsewhere.
        values: how many values each key has, at least 1.
        queries: how many keys are asked for, all their values at once; 1 … keys.
        key: what keys are.
        value: what values are.
        haystack: what surrounds them.
    """

    generated = 128

    keys: int = 1
    values: int = 1
    queries: int = 1
    key: Kind = Words()
    value: Kind = Numbers()
    haystack: Haystack = Noise()

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        self.require_between(1, self.haystack.most, "keys", "values")
        self.require(1 <= self.queries <= self.keys, "queries", f"1 … {self.keys} (keys)")
        if (needles := self.keys * self.values) > self.haystack.most:
            raise InputError(f"{self.name}: keys · values must be at most {self.haystack.most}, got {needles}")

    def draft(self, request: Request, amount: Amount) -> Draft | None:
        """Hide all keys with their values and ask for some."""
        generator = request.generator()
        others = random.Random(generator.getrandbits(64))
        keys = self.key.different(random.Random(generator.getrandbits(64)))
        values = self.value.different(random.Random(generator.getrandbits(64)))
        hidden = [(key, list(islice(values, self.values))) for key in islice(keys, self.keys)]
        asked = generator.sample(hidden, self.queries)
        needles = [(key, value) for key, found in hidden for value in found]
        generator.shuffle(needles)
        depths = self.haystack.depths(generator, len(needles))
        more = (self.needle(*pair) for pair in zip(keys, self.value.different(others), strict=False))
        pieces = self.haystack.pieces(request.text, amount, more)
        if pieces is None:
            return None
        queried = [key for key, _ in asked]
        prompt = hiding(pieces, self.haystack.after, needles, depths, queried, self.value.plural)
        return Draft(prompt, tuple(value for _, found in asked for value in found), AllOf())

    def needle(self, key: str, value: str) -> str:
        """Return the sentence that gives a key a value."""
        return NEEDLE.format(kind=self.value.plural, key=key, value=value)


def hiding(
    pieces: Sequence[str],
    after: str,
    needles: Sequence[tuple[str, str]],
    depths: Sequence[float],
    queried: Sequence[str],
    kind: str,
) -> Prompt:
    """Return the prompt that hides needles among pieces and asks for all values of some keys.

    Arguments:
        pieces: the haystack.
        after: the white space after each needle.
        needles: key and value of each.
        depths: where each needle is, 0 … 1.
        queried: keys.
        kind: what the values are, in the plural.
    """
    hidden = [NEEDLE.format(kind=kind, key=key, value=value) + after for key, value in needles]
    context, where = insert(pieces, hidden, depths)
    found = tuple(where[i] for i, (key, _) in enumerate(needles) if key in queried)
    before, question = BEFORE, QUESTION
    if len(found) == 1:
        before, question, kind = _singular(before), _singular(question), kind[:-1]
    return Prompt(before.format(kind=kind), tuple(context), question.format(kind=kind, query=_listed(queried)), found)


def lines(unit: Unit, amount: Amount, rest: Unit | None = None) -> list[str] | None:
    """Return so much filler, each unit on a line of its own."""
    pieces = filler(unit, amount, rest)
    return None if pieces is None else [piece + "\n" for piece in pieces]


def insert(pieces: Sequence[str], needles: Sequence[str], depths: Sequence[float]) -> tuple[list[str], list[int]]:
    """Return the pieces with each needle at its depth, 0 … 1, and the index of each needle among them."""
    order = sorted(range(len(needles)), key=lambda i: depths[i])
    found, where, done = list[str](), [0] * len(needles), 0
    for i in order:
        here = int(depths[i] * len(pieces))
        found += pieces[done:here]
        where[i], done = len(found), here
        found.append(needles[i])
    return [*found, *pieces[done:]], where


def _different(draw: Callable[[], str]) -> Iterator[str]:
    seen = set[str]()
    while True:
        made = draw()
        if made not in seen:
            seen.add(made)
            yield made


def _singular(template: str) -> str:
    """RULER's replacements where one value is asked for."""
    return template.replace("Some", "A").replace("are all", "is").replace("are", "is")


def _listed(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + ", and " + keys[-1]
