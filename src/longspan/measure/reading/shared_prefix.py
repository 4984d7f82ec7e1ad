"""Shared prefix: prompts that begin alike are read together, and each token that they share is read once.

The prompts form a tree: they go the same way up to the first token in which they differ. Reading the tree takes as many
tokens as it has nodes, instead of the sum of all lengths:

    questions after one text of N tokens          about N             instead of D · N
    one needle at D depths of one text            about N · (1 + D/2) instead of D · N

Where a cache can be cropped, one cache serves the whole tree. Each prompt is read as it would be alone, because a
causal model does not look ahead and every method here is defined row by row.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor

from longspan.errors import InputError, RefusalError
from longspan.measure.reading.reader import Reader, can_crop

Prompts = Sequence[tuple[int, tuple[int, ...]]]
"""The number of each prompt, and its tokens."""


@dataclass(frozen=True)
class Read:
    """A prompt that was read.

    Arguments:
        number: which one.
        hidden: the hidden state of its last token, (1, width).
        cache: of the whole prompt. It may be read on from, until the next prompt is asked for.
    """

    number: int
    hidden: Float[Tensor, "1 width"]
    cache: Any


def read_together(reader: Reader, prompts: Sequence[Sequence[int]], room: int = 0) -> Iterator[Read]:
    """Read prompts and yield each, in an order in which what they share is read once.

    Arguments:
        room: tokens that will be written after each prompt.

    Errors: InputError for an empty prompt; RefusalError where keys depend on what follows them.
    """
    longest = max(map(len, prompts), default=0) + room
    if not can_share(reader, longest):
        raise RefusalError(
            "this checkpoint changes its frequencies with the length of the call beyond "
            f"{reader.shared_length()} tokens, so that prompts of up to {longest} tokens share no keys: read each by "
            "itself, or attach a method"
        )
    if not all(len(prompt) for prompt in prompts):
        raise InputError("a prompt without tokens cannot be read: give each at least one")
    if prompts:
        yield from _walk(reader, sorted(enumerate(map(tuple, prompts)), key=lambda each: each[1]), 0, None)


def can_share(reader: Reader, longest: int) -> bool:
    """Return whether texts of up to `longest` tokens, answers included, have the same keys where they begin alike."""
    fixed = reader.shared_length()
    return fixed is None or longest <= fixed


def nodes(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens `read_together` reads.

    >>> nodes([(1, 2, 3), (1, 2, 4), (1, 2, 3, 5)])
    5
    """
    ordered = sorted(map(tuple, prompts))
    return sum(map(len, ordered)) - sum(_common(*pair) for pair in pairwise(ordered))


def _walk(reader: Reader, prompts: Prompts, done: int, cache: Any) -> Iterator[Read]:
    """Read prompts, sorted, of which the first `done` tokens are alike and in the cache."""
    stop = _common(prompts[0][1], prompts[-1][1])  # of sorted texts, the outermost two share the least
    hidden = None
    if stop > done:
        some = reader.ids(prompts[0][1][done:stop])
        hidden, cache = reader.read(some, 1) if cache is None else reader.append(cache, some)
    groups = [list(some) for _, some in groupby(prompts, lambda each: each[1][stop : stop + 1])]
    ended = [[each] for each in groups[0]] if len(groups[0][0][1]) == stop else []
    uses = [*ended, *groups[bool(ended) :]]
    for left, part in zip(reversed(range(len(uses))), uses, strict=True):
        number, ids = part[0]
        own = copy.deepcopy(cache) if left and cache is not None and not can_crop(cache) else cache
        if len(ids) > stop:
            yield from _walk(reader, part, stop, own)
        else:
            assert hidden is not None  # no prompt is empty, and none ends where another walk began
            yield Read(number, hidden[0, -1:], own)
        if left and own is cache and cache is not None:
            cache.crop(min(0, stop - cache.get_seq_length()))


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many first tokens are the same."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
