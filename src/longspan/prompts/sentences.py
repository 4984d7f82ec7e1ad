"""Cut a text into sentences, in scripts with and without spaces between words."""

import re
from collections.abc import Iterable

from longspan.memo import remember

OTHER_ENDS = "।॥۔؟"
"""Danda and double danda of Hindi and its neighbors, full stop and question mark of Urdu and Arabic."""
SPACED_ENDS = ".!?…" + OTHER_ENDS
"""Marks that end a sentence where white space follows."""
JOINED_ENDS = "。！？"
"""Marks that end a sentence, whatever follows."""
CLOSING = "\"'”’»)]」』）】"
"""Quotes and brackets that belong to the sentence they follow."""
JOINED_PAUSES = "，、；："
"""Marks within a sentence that no white space follows."""

LONGEST = 1000
"""Characters of a sentence that is never cut."""
SHARE = 1 / 20
"""Share of a text that any sentence may be: what is hidden between sentences is about that near its depth."""
PIECE = 200
"""Characters of the pieces that a longer one is cut into, at most."""

_SENTENCE = re.compile(
    rf".+?(?:[{re.escape(SPACED_ENDS)}]+[{re.escape(CLOSING)}]*(?=\s|$)|[{JOINED_ENDS}]+[{re.escape(CLOSING)}]*|$)"
)


_PIECE = re.compile(rf".{{1,{PIECE}}}$|.{{1,{PIECE - 1}}}[{JOINED_PAUSES}\s]|.{{1,{PIECE}}}")


@remember(4)
def sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of a text; every run of white space in it becomes one space.

    Text without the marks of sentences, such as a table or code, is cut between words into pieces of 200 characters.

    >>> sentences("It rained. “Did it?” 下雨了。天黑了！ No")
    ('It rained.', '“Did it?”', '下雨了。', '天黑了！', 'No')
    """
    whole = " ".join(text.split())
    longest = max(LONGEST, SHARE * len(whole))
    found = (sentence.strip() for sentence in _SENTENCE.findall(whole))
    return tuple(piece for sentence in found if sentence for piece in _cut(sentence, longest))


def _cut(sentence: str, longest: float) -> list[str]:
    if len(sentence) <= longest:
        return [sentence]
    return [stripped for piece in _PIECE.findall(sentence) if (stripped := piece.strip())]


def spaced(pieces: Iterable[str]) -> list[str]:
    """Return the sentences with a space after each, but none after a mark that needs no space."""
    joined = tuple(JOINED_ENDS + JOINED_PAUSES)
    return [piece if piece.rstrip(CLOSING).endswith(joined) else piece + " " for piece in pieces]
