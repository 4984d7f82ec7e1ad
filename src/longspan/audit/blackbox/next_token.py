"""Ask about next tokens only: servers that do not give log-probabilities of the prompt.

Each request is a first part of the text; the server gives the most likely tokens after it. A text is asked about at
`PLACES` places, most of them late. Servers keep the prefix of a prompt that they have just read, so that this costs
little more than reading the text once.
"""

from abc import abstractmethod
from collections.abc import Sequence

from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.dialect import Dialect, UnansweredError
from longspan.audit.blackbox.vocabulary import Vocabulary

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
        return parts(ids, len(ids) // 4, PLACES, self.vocabulary)

    def answer(self, ids: Sequence[int]) -> Answer:
        """Return what the server says after the whole prompt.

        Errors: UnansweredError where it gives no token that is known.
        """
        found = self.likely(ids)
        if not found:
            raise UnansweredError("no token of the reply is known to the local tokenizer")
        return Answer((len(ids),) * len(found), tuple(found), tuple(found.values()))


def parts(ids: Sequence[int], shortest: int, count: int, vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """Return first parts of a text, the longest all of it, as a server that takes text reads them."""
    first = max(1, shortest)
    places = sorted({first + (len(ids) - first) * step // (count - 1) for step in range(count)})
    return [vocabulary.as_read(ids[:place]) for place in places]
