"""Every error the library raises on purpose.

LongspanError(ValueError)
├── SchemeError       a scheme that means nothing: two answers to one slot, a value out of range, a slot left open
│   └── NotationError     a text that is no scheme: unknown name, unknown argument, bad syntax
├── ShapeError        tensors that do not fit each other
├── RefusalError      a good scheme that this backend, model or runtime cannot serve
└── InputError        a file, a folder or a setting that cannot be used

Each message says what was wrong, what was given and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 200
"""Characters of what somebody gave that an error repeats."""


class LongspanError(ValueError):
    """Base of all errors of this library."""


class SchemeError(LongspanError):
    """A scheme that means nothing."""


class NotationError(SchemeError):
    """A text that is no scheme."""


class ShapeError(LongspanError):
    """Tensors that do not fit each other."""


class RefusalError(LongspanError):
    """A good scheme that this backend, model or runtime cannot serve."""


class InputError(LongspanError):
    """A file, a folder or a setting that cannot be used."""


def nearest(word: str, words: Iterable[str]) -> str:
    """`"; did you mean 'rope'?"`, or an empty string when nothing is near."""
    matches = get_close_matches(word, list(words), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def shown(value: object) -> str:
    """What somebody gave, on one line of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write out whole numbers of more than a few thousand digits
        return f"{type(value).__name__} with too many digits to repeat"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
