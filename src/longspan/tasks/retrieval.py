"""Retrieval: facts hidden in the user's own text and asked for at its end, answered by likelihood over four choices.

At each depth stands a group of four facts, "The secret code of NAME is WORD."; each of the four is asked as "The secret
code of NAME is", and the choices are the group's four words. So all choices occur in the text, only binding name to
word answers, and a model that cannot see the group is right exactly as often as chance, 1 in 4, whatever words it
prefers. All groups share one haystack: it is read once and every question is asked against it. Its last tokens are left
without facts, so that the same reading gives their loss.
"""

import bisect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from longspan.errors import InputError
from longspan.tasks.words import FACT, NAMES, QUESTION, WORDS

CHOICES = 4
DEPTHS = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Where in the haystack the groups stand: 0 its start, 1 where its last tokens, those without facts, begin."""

FACTS_SHARE = 0.25
"""At most this share of a haystack is facts; a short one holds groups at fewer depths, drawn at random."""

SPREAD = 0.01
"""Share of the haystack between neighbors of a group; where that is less than a sentence they stand side by side."""


@dataclass(frozen=True)
class Question:
    """Which of `choices` continues haystack + `ids`?

    Arguments:
        ids: the question's tokens.
        choices: the tokens of each choice.
        answer: index of the right choice.
        depth: of the group the fact belongs to.
        distance: tokens from the fact's first token to the question's end.
    """

    ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    answer: int
    depth: float
    distance: int


@dataclass(frozen=True)
class Haystack:
    """A text with facts in it, and the questions about them.

    Arguments:
        ids: the text's tokens.
        own: of each token, whether it is the document's own; those of facts and of the opening are not.
        questions: about the facts.
    """

    ids: tuple[int, ...]
    own: tuple[bool, ...]
    questions: tuple[Question, ...]

    @property
    def room(self) -> int:
        """Tokens of the longest question together with its answer."""
        return max(len(question.ids) + max(map(len, question.choices)) for question in self.questions)

    @property
    def length(self) -> int:
        """Tokens of the longest prompt together with its answer."""
        return len(self.ids) + self.room


def haystack(
    document: Sequence[int],
    tokenizer: Any,
    length: int,
    seed: str,
    opening: Sequence[int] = (),
    depths: Sequence[float] = DEPTHS,
    tail: int = 0,
) -> Haystack:
    """A haystack made of a document's first tokens; its longest prompt with its answer is exactly `length` tokens.

    No fact stands among the last `tail` tokens of the text.

    Errors: InputError where facts and questions leave no room for text, or the document is too short.
    """
    generator = random.Random(f"retrieval/{length}/{seed}")

    def encode(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    fact_length = len(encode(" " + FACT.format(name=NAMES[0], value=WORDS[0])))
    groups = max(1, int(FACTS_SHARE * length / (CHOICES * fact_length)))
    depths = sorted(generator.sample(depths, min(groups, len(depths))))
    count = CHOICES * len(depths)
    names = _chosen(generator, NAMES, count, encode)
    words = _chosen(generator, WORDS, count, encode)
    facts = [encode(" " + FACT.format(name=n, value=w)) for n, w in zip(names, words, strict=True)]
    asked = [encode(" " + QUESTION.format(name=name)) for name in names]
    answers = [encode(" " + word) for word in words]
    longest = max(len(q) + max(map(len, answers[_group(i)])) for i, q in enumerate(asked))
    room = length - longest - sum(map(len, facts)) - len(opening)
    place = room - tail
    if place < count:
        raise InputError(f"{length} tokens leave no room for text beside {count} facts of about {fact_length} tokens")
    if len(document) < room:
        raise InputError(f"the document has {len(document)} tokens, a haystack of {length} needs {room}")
    spots = _spots(document[:place], tokenizer)
    wanted = [(depth + SPREAD * (k - (CHOICES - 1) / 2)) * place for depth in depths for k in range(CHOICES)]
    order = sorted(range(count), key=lambda i: wanted[i])
    ids, own, done, begins = list(opening), [False] * len(opening), 0, [0] * count
    for i in order:
        here = max(done, _nearest(spots, wanted[i]))
        ids += document[done:here]
        begins[i] = len(ids)
        ids += facts[i]
        own += [True] * (here - done) + [False] * len(facts[i])
        done = here
    ids += document[done:room]
    own += [True] * (room - done)
    questions = tuple(
        Question(
            asked[i],
            tuple(answers[_group(i)]),
            i % CHOICES,
            depths[i // CHOICES],
            len(ids) + len(asked[i]) - begins[i],
        )
        for i in range(count)
    )
    return Haystack(tuple(ids), tuple(own), questions)


def truncated(hay: Haystack, length: int, opening: Sequence[int] = ()) -> Haystack:
    """The same questions when only the last `length` tokens are fed, the longest prompt and its answer included."""
    room = length - hay.room - len(opening)
    if room < 1:
        raise InputError(f"{length} tokens hold no more than the question")
    if length >= hay.length:
        return hay
    return Haystack((*opening, *hay.ids[-room:]), (*[False] * len(opening), *hay.own[-room:]), hay.questions)


def _group(index: int) -> slice:
    start = index - index % CHOICES
    return slice(start, start + CHOICES)


def _chosen(
    generator: random.Random, words: Sequence[str], count: int, encode: Callable[[str], tuple[int, ...]]
) -> list[str]:
    """Different words, all of the smallest number of tokens that enough of them share, in random order."""
    by_size: dict[int, list[str]] = {}
    for word in words:
        by_size.setdefault(len(encode(" " + word)), []).append(word)
    enough = [size for size in sorted(by_size) if len(by_size[size]) >= count]
    pool = by_size[enough[0]] if enough else list(words)
    if len(pool) < count:
        raise InputError(f"{count} different words are wanted, there are {len(pool)}")
    return generator.sample(pool, count)


def _spots(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """Where a sentence begins; where a word begins if there are none."""
    texts = {token: tokenizer.decode([token]) for token in set(ids)}
    ends = {token for token, text in texts.items() if text.rstrip(" ").endswith((".", "!", "?", "\n"))}
    sentence = [i for i in range(1, len(ids)) if ids[i - 1] in ends and ids[i] not in ends]
    if len(sentence) >= len(DEPTHS) * CHOICES:
        return [0, *sentence, len(ids)]
    starts = {token for token, text in texts.items() if text[:1] in (" ", "\n")}
    return [0, *(i for i in range(1, len(ids)) if ids[i] in starts), len(ids)]


def _nearest(spots: Sequence[int], wanted: float) -> int:
    after = bisect.bisect(spots, wanted)
    near = spots[max(0, after - 1) : after + 1]
    return min(near, key=lambda spot: abs(spot - wanted))
