"""Retrieval: facts hidden in the user's own text and asked for at its end, answered by likelihood over four choices.

Each depth holds a group of four facts, "The secret code of NAME is WORD."; each of the four is asked as "The secret
code of NAME is", and the choices are the group's four words. So all choices occur in the text, only the binding of name
to word answers, and a model that cannot see the group is right exactly as often as chance, 1 in 4, whatever words it
prefers. All groups share one text: it is read once and every question is asked after it. Its last tokens hold no facts,
so that the same reading gives their loss.
"""

import bisect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longspan import bundled
from longspan.errors import InputError
from longspan.prompts.sentences import JOINED_ENDS, OTHER_ENDS
from longspan.task import Example, Material, Question, Task

CHOICES = 4
DEPTHS = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Where the groups are in the text: 0 is its start, 1 is where its last tokens, those without facts, begin."""

FACTS_SHARE = 0.25
"""At most this share of a text is facts; a short text holds groups at fewer depths, drawn at random."""

ENOUGH = len(DEPTHS) * CHOICES
"""How many sentences, or words, let facts be near their depths."""

ENDS = (".", "!", "?", "\n", *JOINED_ENDS, *OTHER_ENDS)
"""What the text of a token ends with where a sentence ends."""

BROKEN = "\ufffd"
"""What a part of a character is decoded to."""

MOST_BYTES = 4
"""Bytes of a character in UTF-8, at most."""

SPREAD = 0.01
"""Share of the text between neighbors of a group; where that is less than a sentence they follow each other."""


@dataclass(frozen=True)
class FactRetrieval(Task[Example]):
    """Facts in a text, and a question about each.

    Arguments:
        depths: where groups of facts may be, 0 … 1.
        tail: how many last tokens of the text hold no facts.
    """

    depths: tuple[float, ...] = DEPTHS
    tail: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        within = bool(self.depths) and all(0 <= depth <= 1 for depth in self.depths)
        self.require(within, "depths", "one or more numbers from 0 to 1")
        self.require(self.tail >= 0, "tail", "at least 0")

    def example(self, material: Material, length: int, index: str) -> Example:
        """Hide facts in the document's first tokens; the longest prompt with its answer is exactly `length` tokens.

        Errors: InputError where facts and questions leave no room for text, or the document is too short.
        """
        generator, encode, words = self.generator(length, index), material.encode, bundled.words()
        opening, document = material.opening, material.document
        fact_length = len(encode(" " + words.fact.format(name=words.names[0], value=words.values[0])))
        groups = max(1, int(FACTS_SHARE * length / (CHOICES * fact_length)))
        depths = sorted(generator.sample(self.depths, min(groups, len(self.depths))))
        count = CHOICES * len(depths)
        names = _chosen(generator, words.names, count, encode)
        values = _chosen(generator, words.values, count, encode)
        facts = [encode(" " + words.fact.format(name=n, value=w)) for n, w in zip(names, values, strict=True)]
        asked = [encode(" " + words.question.format(name=name)) for name in names]
        answers = [encode(" " + value) for value in values]
        longest = max(len(q) + max(map(len, answers[_group(i)])) for i, q in enumerate(asked))
        room = length - longest - sum(map(len, facts)) - len(opening)
        before_tail = room - self.tail
        if before_tail < count:
            raise InputError(
                f"{length} tokens leave no room for text beside {count} facts of about {fact_length} tokens: "
                "give a longer length"
            )
        if len(document) < room:
            raise InputError(f"the document has {len(document)} tokens, a text of {length} with facts needs {room}")
        wanted = [(depth + SPREAD * (k - (CHOICES - 1) / 2)) * before_tail for depth in depths for k in range(CHOICES)]
        spots = _spots(document[:before_tail], material.tokenizer)
        ids, own, begins = _hidden(document[:room], facts, wanted, spots, opening)
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
        return Example(tuple(ids), tuple(own), questions)


def _hidden(
    document: Sequence[int],
    facts: Sequence[Sequence[int]],
    wanted: Sequence[float],
    spots: Sequence[int],
    opening: Sequence[int],
) -> tuple[list[int], list[bool], list[int]]:
    """The opening and the document with each fact at the spot nearest to where it is wanted.

    Returns the token ids, of each token whether it is the document's own, and where each fact begins.
    """
    ids, own, done, begins = list(opening), [False] * len(opening), 0, [0] * len(facts)
    for i in sorted(range(len(facts)), key=lambda i: wanted[i]):
        here = max(done, _nearest(spots, wanted[i]))
        ids += document[done:here]
        begins[i] = len(ids)
        ids += facts[i]
        own += [True] * (here - done) + [False] * len(facts[i])
        done = here
    ids += document[done:]
    own += [True] * (len(document) - done)
    return ids, own, begins


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
        raise InputError(f"{count} different words are needed, there are {len(pool)}: give fewer depths")
    return generator.sample(pool, count)


def _spots(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """Where a sentence begins; where a word begins if there are too few sentences, or else a character.

    Without enough of them, a fact would be far from the depth that is reported.
    """
    texts = {token: tokenizer.decode([token]) for token in set(ids)}
    ends = {token for token, text in texts.items() if text.rstrip(" ").endswith(ENDS)}
    sentences = [i for i in range(1, len(ids)) if ids[i - 1] in ends and ids[i] not in ends]
    if len(sentences) >= ENOUGH:
        return [0, *sentences, len(ids)]
    starts = {token for token, text in texts.items() if text[:1] in (" ", "\n") or _begins_word(token, tokenizer)}
    words = [i for i in range(1, len(ids)) if ids[i] in starts]
    if len(words) >= min(ENOUGH, len(ids) / ENOUGH):
        return [0, *words, len(ids)]
    return [0, *(i for i in range(1, len(ids)) if _begins_character(ids, i, texts, tokenizer)), len(ids)]


def _begins_word(token: int, tokenizer: Any) -> bool:
    """Whether a token has SentencePiece's mark of a space, which is lost where it is decoded alone."""
    return str(tokenizer.convert_ids_to_tokens(token)).startswith("▁")


def _begins_character(ids: Sequence[int], i: int, texts: Mapping[int, str], tokenizer: Any) -> bool:
    """Whether a token goes on after a whole character: tokens of bytes may hold parts of one."""
    if not texts[ids[i]].startswith(BROKEN):
        return True
    return not tokenizer.decode(list(ids[max(0, i - MOST_BYTES) : i])).endswith(BROKEN)


def _nearest(spots: Sequence[int], wanted: float) -> int:
    after = bisect.bisect(spots, wanted)
    near = spots[max(0, after - 1) : after + 1]
    return min(near, key=lambda spot: abs(spot - wanted))
