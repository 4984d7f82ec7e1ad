"""Cut a text into sentences, in scripts with and without spaces between words."""

import re
from collections.abc import Iterable

from longspan.memo import remember

SPACED_ENDS = ".!?…"
"""Marks that end a sentence where white space follows."""
JOINED_ENDS = "。！？"
"""Marks that end a sentence, whatever follows."""
CLOSING = "\"'”’»)]」』）】"
"""Quotes and brackets that belong to the sentence they follow."""

_SENTENCE = re.compile(
    rf".+?(?:[{re.escape(SPACED_ENDS)}]+[{re.escape(CLOSING)}]*(?=\s|$)|[{JOINED_ENDS}]+[{re.escape(CLOSING)}]*|$)"
)


@remember(4)
def sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of a text; every run of white space in it becomes one space.

    >>> sentences("It rained. “Did it?” 下雨了。天黑了！ No")
    ('It rained.', '“Did it?”', '下雨了。', '天黑了！', 'No')
    """
    return tuple(found.strip() for found in _SENTENCE.findall(" ".join(text.split())) if found.strip())


def spaced(pieces: Iterable[str]) -> list[str]:
    """Return the sentences with a space after each, but none after a mark that needs no space."""
    return [piece if piece.rstrip(CLOSING).endswith(tuple(JOINED_ENDS)) else piece + " " for piece in pieces]
