"""Text continuation: the same last tokens of a document, predicted from contexts of several lengths.

At a context of c tokens, the scored tokens are cut into pieces of at most c / 8, each fed with what comes before it so
that c tokens are fed in all: every scored token sees between 7/8 c and c tokens. Without this a short context would be
shorter still for the first scored tokens, and truncation would look worse than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from longspan.errors import InputError

SHORTEST = 8
"""The shortest context, tokens."""


@dataclass(frozen=True)
class Window:
    """What is fed at once: document tokens start … stop, of which those from `scored` on are scored."""

    start: int
    stop: int
    scored: int


def tail_length(trained_length: int, length: int) -> int:
    """How many last tokens are scored: 256 or an eighth of the trained length, whichever is more, where they fit.

    An eighth is one window at a context of the trained length; never more than a quarter of that, or an eighth of N.
    """
    return max(1, min(trained_length // 4, length // 8, max(256, trained_length // 8)))


def windows(length: int, context: int, tail: int) -> tuple[Window, ...]:
    """What to feed of a document of `length` tokens so that its last `tail` are scored with `context` tokens each.

    >>> windows(1000, 80, 20)
    (Window(start=910, stop=990, scored=980), Window(start=920, stop=1000, scored=990))

    Errors: InputError where the context does not fit into the document or the tail not into the context.
    """
    if not SHORTEST <= context <= length:
        raise InputError(f"a context must have between {SHORTEST} and {length} tokens, got {context}")
    if not 0 < tail < length:
        raise InputError(f"between 1 and {length - 1} last tokens can be scored, got {tail}")
    piece = min(tail, context // 8)
    starts = range(length - tail, length, piece)
    return tuple(Window(max(0, end - context), end, start) for start in starts for end in (min(start + piece, length),))


def feed(document: Sequence[int], window: Window, opening: Sequence[int] = ()) -> list[int]:
    """The ids to feed: a tokenizer's opening (BOS) takes the place of the window's first tokens."""
    return [*opening, *document[window.start + len(opening) : window.stop]]
