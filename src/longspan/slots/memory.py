"""The slot `memory`: what is kept of a document's far tokens?"""

from dataclasses import dataclass
from typing import ClassVar

from longspan.slots.part import Part


@dataclass(frozen=True)
class Memory(Part):
    """What is kept of a document's far tokens? A scheme without a memory keeps all keys and values.

    A document is read in blocks as long as the window of the scheme's distance. A query sees the keys of its own block
    and of the one before as they are, and of all earlier ones what the memory keeps of them, so that the result does
    not depend on how a text is cut for reading.

    Arguments:
        codes: S, vectors for each key head that stand for all far keys.
    """

    slot: ClassVar[str] = "memory"
    codes: int | None = None
