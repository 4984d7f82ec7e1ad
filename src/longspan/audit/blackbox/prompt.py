"""What a server feeds to the model in place of the tokens that it was sent: all, a part of them, another opening."""

from collections.abc import Sequence
from dataclasses import dataclass

DROPPED = -1
"""The source of a token that was not sent."""


@dataclass(frozen=True)
class Feeding:
    """Which of the sent tokens the model reads.

    Arguments:
        front: how many first tokens are kept where the text is longer than front + back.
        back: how many last tokens are kept; None for no limit.
        openings: how often the tokenizer's opening (BOS) is read; it is sent once.
    """

    front: int = 0
    back: int | None = None
    openings: int = 1

    def feed(self, ids: Sequence[int], opening: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the token ids that the model reads, and the index of each among the sent ones, or `DROPPED`.

        >>> Feeding(front=1, back=2).feed([5, 6, 7, 8], [])
        ([5, 7, 8], [0, 2, 3])
        """
        sent = list(range(len(ids)))
        if self.back is not None and len(ids) > self.front + self.back:
            sent = sent[: self.front] + sent[len(ids) - self.back :]
        found, source = [ids[index] for index in sent], sent
        if self.openings != 1 and opening and found[: len(opening)] == list(opening):
            found = [*opening] * self.openings + found[len(opening) :]
            lead = [DROPPED] * len(opening) * self.openings
            if self.openings:
                lead[-len(opening) :] = sent[: len(opening)]
            source = lead + sent[len(opening) :]
        return found, source


WHOLE = Feeding()
"""Everything that was sent, and nothing else."""
