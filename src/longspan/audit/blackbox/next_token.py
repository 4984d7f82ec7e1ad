"""Ask about next tokens only: servers that do not give log-probabilities of the prompt.

Each request is a first part of the text; the server gives the most likely tokens after it. A text is asked about at
`PLACES` places, most of them late. Servers keep the prefix of a prompt that they have just read, so that this costs
little more than reading the text once.
"""

from abc import abstractmethod
from collections.abc import Sequence

from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.dialect import Dialect, UnansweredError

PLACES = 24
TOP = 10
"""Most likely tokens that are asked for at each place."""


class NextToken(Dialect):
    """A dialect that knows the next token only."""

    @abstractmethod
    def likely(self, ids: Sequence[int]) -> dict[int, float]:
        """Return log-probabilities of the most likely tokens after a prompt, by id, nats.

        Errors: UnansweredError where the server gives none.
        """

    def prompts(self, ids: Sequence[int]) -> Sequence[Sequence[int]]:
        """Return first parts of the text."""
        return [ids[:place] for place in places(len(ids))]

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return what the server says after the whole prompt.

        Errors: UnansweredError where it gives no token that is known.
        """
        found = self.likely(ids)
        if not found:
            raise UnansweredError("no token of the reply is known to the local tokenizer")
        return Answer((len(ids),) * len(found), tuple(found), tuple(found.values()))


def places(length: int) -> list[int]:
    """Return how many first tokens of a text to send each time: from a quarter of it to all of it."""
    first = max(1, length // 4)
    return sorted({first + (length - first) * step // (PLACES - 1) for step in range(PLACES)})
