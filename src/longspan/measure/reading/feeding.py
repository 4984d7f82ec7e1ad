"""Feeding: which tokens to read so that the same last tokens of a text are predicted from contexts of several lengths.

At a context of c tokens, the scored tokens are cut into pieces of at most c / 8, each read after what comes before it,
c tokens in all: every scored token sees between 7/8 c and c tokens. Without this a short context would be
shorter still for the first scored tokens, and truncation would look worse than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.errors import InputError

SHORTEST = 8
"""The shortest context, tokens."""


@dataclass(frozen=True)
class Feed:
    """What is read in one forward pass: tokens start … stop of a text, of which those from `scored` on are scored."""

    start: int
    stop: int
    scored: int

    def ids(self, text: Sequence[int], opening: Sequence[int] = ()) -> list[int]:
        """Return the token ids to read: a tokenizer's opening (BOS) replaces the first ones."""
        return [*opening, *text[self.start + len(opening) : self.stop]]


def tail_length(trained_length: int, length: int) -> int:
    """Return how many last tokens are scored: 256 or L/8, whichever is more, but at most L/4 and N/8.

    L/8 is one piece at a context of L.
    """
    return max(1, min(trained_length // 4, length // 8, max(256, trained_length // 8)))


def feeds(length: int, context: int, tail: int) -> tuple[Feed, ...]:
    """Return what to read of a text of `length` tokens so that its last `tail` are scored with `context` tokens each.

    >>> feeds(1000, 80, 20)
    (Feed(start=910, stop=990, scored=980), Feed(start=920, stop=1000, scored=990))

    Errors: InputError where the context does not fit into the text or the tail not into the context.
    """
    if not SHORTEST <= context <= length:
        raise InputError(f"a context must have between {SHORTEST} and {length} tokens, got {context}")
    if not 0 < tail < length:
        raise InputError(f"between 1 and {length - 1} last tokens can be scored, got {tail}")
    piece = min(tail, context // 8)
    starts = range(length - tail, length, piece)
    return tuple(Feed(max(0, end - context), end, start) for start in starts for end in (min(start + piece, length),))
