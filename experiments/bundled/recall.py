"""Training sequences and test prompts for recall: facts hidden in ordinary text and asked for later.

A fact is `The secret code of NAME is VALUE.` and its question is the same sentence up to ` is`, so a question is
answered by copying what followed the name before. One sequence asks several questions at distances spread over the
whole window. All text here is token ids; every piece starts with a blank and is tokenized alone, which gives the
same ids as tokenizing the whole because the tokenizer never merges across a word's start.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "longspan" / "bundled"

Ids = NDArray[np.int64]
Weights = NDArray[np.float32]

ANSWER_WEIGHT = 10.0  # one answer counts as much as ten tokens of text
SYNTAX_WEIGHT = 0.1  # "is" and "." of a fact: cheap to learn, so little weight
OPEN_SHARE = 0.15  # share of sequences whose names and values are made-up strings of several tokens


def held_out(name: str, value: str) -> bool:
    """True for the fifth of all pairs that training never states."""
    return hashlib.sha256(f"{name} {value}".encode()).digest()[0] % 5 == 0


@dataclass(frozen=True)
class Prompt:
    """A four-choice question: which of `choices` (token ids) continues `ids`? `distance` is in tokens."""

    ids: Ids
    choices: tuple[int, ...]
    answer: int
    depth: float
    distance: int


class Recall:
    """Makes sequences and prompts from a token stream of ordinary text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        words = json.loads((PACKAGE / "words.json").read_text())
        self.names: list[str] = words["names"]
        self.values: list[str] = words["values"]
        self.tokenizer = tokenizer
        before, after = words["fact"].split("{name}")
        middle, end = after.split("{value}")
        self.before = self.encode(" " + before.rstrip())
        self.middle = self.encode(middle.rstrip())
        self.end = self.encode(end)
        strings = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
        self.starts_word = np.array([s[:1] in ("Ġ", "Ċ") for s in strings])
        self.ends_sentence = np.array([s[-1:] in (".", "?", "!") for s in strings])
        self.heads = np.array([i for i, s in enumerate(strings) if re.fullmatch("Ġ[A-Za-z]+", s)])
        self.tails = np.array([i for i, s in enumerate(strings) if re.fullmatch("[a-z]+", s)])

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    @cached_property
    def name_ids(self) -> dict[str, int]:
        """The one token of each name, leading blank included."""
        return {name: self.encode(" " + name)[0] for name in self.names}

    @cached_property
    def value_ids(self) -> dict[str, int]:
        """The one token of each value, leading blank included."""
        return {value: self.encode(" " + value)[0] for value in self.values}

    def made_up(self, rng: np.random.Generator) -> list[int]:
        """A string of one to three tokens that looks like a word."""
        return [int(rng.choice(self.heads)), *(int(t) for t in rng.choice(self.tails, size=rng.integers(0, 3)))]

    def statement(self, name: list[int], value: list[int], *, asked: bool) -> tuple[list[int], list[float]]:
        """A fact and its loss weights; only where it repeats an earlier one does the value count."""
        ids = self.before + name + self.middle + value + self.end
        weights = [0.0] * len(self.before + name) + [SYNTAX_WEIGHT] * len(self.middle)
        weights += [ANSWER_WEIGHT if asked else 0.0] * len(value) + [SYNTAX_WEIGHT] * len(self.end)
        return ids, weights

    def pairs(self, rng: np.random.Generator, count: int) -> list[tuple[list[int], list[int]]]:
        """`count` facts with different names, none of them a held-out pair."""
        if rng.random() < OPEN_SHARE:
            return [(self.made_up(rng), self.made_up(rng)) for _ in range(count)]
        found: list[tuple[list[int], list[int]]] = []
        for name in rng.permutation(self.names)[:count]:
            value = str(rng.choice(self.values))
            while held_out(str(name), value):
                value = str(rng.choice(self.values))
            found.append(([self.name_ids[str(name)]], [self.value_ids[value]]))
        return found

    def cut(self, text: Ids, place: float, *, sentence: bool) -> int:
        """Index near `place` (0 to 1) of `text` where a sentence, or else a word, begins."""
        target = int(place * len(text))
        allowed = np.append(self.starts_word[text], True)
        if sentence:
            allowed[1:] &= self.ends_sentence[text]
            allowed[0] = True
        spots = np.flatnonzero(allowed)
        return int(spots[np.abs(spots - target).argmin()])

    def sequence(self, rng: np.random.Generator, stream: Ids, length: int) -> tuple[Ids, Weights]:
        """`length` tokens of text with one to eight facts, each stated once, and four to ten questions."""
        count, questions = int(rng.integers(1, 9)), int(rng.integers(4, 11))
        facts = self.pairs(rng, count)
        far = rng.random() < 0.5
        first = rng.random(count) * (0.35 if far else 0.9)
        plan: list[tuple[float, list[int], list[float]]] = []
        for place, (name, value) in zip(first, facts, strict=True):
            plan.append((float(place), *self.statement(name, value, asked=False)))
        for _ in range(questions):
            which = int(rng.integers(count))
            low = max(first[which] + 0.02, 0.6 if far else 0.0)
            place = 1.0 if rng.random() < 0.1 else float(rng.uniform(low, 1.0))
            plan.append((place, *self.statement(*facts[which], asked=True)))
        plan.sort(key=lambda item: item[0])
        room = length - sum(len(ids) for _, ids, _ in plan)
        if room < 0:  # too much for a short sequence: draw again
            return self.sequence(rng, stream, length)
        at = int(rng.integers(len(stream) - length))
        text = stream[at : at + room].astype(np.int64)
        sentence = rng.random() < 0.6
        ids: list[int] = []
        weights: list[float] = []
        done = 0
        for place, piece, piece_weights in plan:
            here = max(done, self.cut(text, place, sentence=sentence))
            ids += [*text[done:here].tolist(), *piece]
            weights += [1.0] * (here - done) + piece_weights
            done = here
        ids += text[done:].tolist()
        weights += [1.0] * (room - done)
        return np.array(ids), np.array(weights, dtype=np.float32)

    def prompt(self, rng: np.random.Generator, text: Ids, length: int, depth: float, *, distractors: bool) -> Prompt:
        """A question at the end of `length` tokens about a held-out pair stated at `depth` (0 start, 1 end).

        With `distractors` the other three choices are stated too, of other names at random depths, so only binding
        name to value answers; without, the needle is the only fact and the other choices are absent words.
        """
        names = [str(n) for n in rng.permutation(self.names)[:4]]
        values = [str(v) for v in rng.permutation(self.values)]
        asked = next(v for v in values if held_out(names[0], v))
        others = [v for v in values if v != asked][:3]
        facts = [(depth, names[0], asked)]
        if distractors:
            facts += [(float(rng.random()), n, v) for n, v in zip(names[1:], others, strict=True)]
        question = [*self.before, self.name_ids[names[0]], *self.middle]
        pieces = [
            (d, n == names[0], self.statement([self.name_ids[n]], [self.value_ids[v]], asked=False)[0])
            for d, n, v in sorted(facts)
        ]
        room = length - len(question) - sum(len(piece) for _, _, piece in pieces)
        body = text[:room].astype(np.int64)
        ids: list[int] = []
        done = needle = 0
        for place, is_needle, piece in pieces:
            here = max(done, self.cut(body, place, sentence=True))
            ids += body[done:here].tolist()
            if is_needle:
                needle = len(ids)
            ids += piece
            done = here
        ids += [*body[done:].tolist(), *question]
        choices = [asked, *others]
        order = [int(i) for i in rng.permutation(4)]
        return Prompt(
            np.array(ids), tuple(self.value_ids[choices[i]] for i in order), order.index(0), depth, length - needle
        )


def repeated(rng: np.random.Generator, stream: Ids, length: int) -> tuple[Ids, Weights]:
    """Text in which one passage comes back later, word for word: what teaches copying over hundreds of tokens."""
    size = int(rng.integers(16, length // 3))
    start = int(rng.integers(0, length - 2 * size))
    again = int(rng.integers(start + size, length - size + 1))
    at = int(rng.integers(len(stream) - length))
    ids = stream[at : at + length].astype(np.int64)
    ids = np.concatenate([ids[:again], ids[start : start + size], ids[again : length - size]])
    weights = np.ones(length, dtype=np.float32)
    weights[again : again + 2] = 0.0
    return ids, weights


def noise(rng: np.random.Generator, stream: Ids, length: int) -> tuple[Ids, Weights]:
    """Shuffled tokens of the text, said again and again with a log-uniform period; only repetitions count."""
    size = int(np.exp(rng.uniform(np.log(4), np.log(length // 2))))
    at = int(rng.integers(len(stream) - length))
    ids = np.resize(rng.permutation(stream[at : at + length])[:size], length).astype(np.int64)
    weights = np.ones(length, dtype=np.float32)
    weights[: size + 1] = 0.0
    return ids, weights


def plain(rng: np.random.Generator, stream: Ids, length: int) -> tuple[Ids, Weights]:
    """A window of the text."""
    at = int(rng.integers(len(stream) - length))
    return stream[at : at + length].astype(np.int64), np.ones(length, dtype=np.float32)


SHARES = (0.35, 0.15, 0.05, 0.45)  # facts, a repeated passage, noise, plain text


def batch(seed: int, step: int, size: int, length: int, stream: Ids, recall: Recall) -> tuple[Ids, Weights]:
    """The batch of `step`: a pure function of its arguments, so a resumed run sees the same data."""
    rng = np.random.default_rng([seed, step])
    makers = (recall.sequence, repeated, noise, plain)
    rows = [makers[kind](rng, stream, length) for kind in rng.choice(4, size=size, p=SHARES)]
    return np.stack([ids for ids, _ in rows]), np.stack([weights for _, weights in rows])
