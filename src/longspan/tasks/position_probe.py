"""The position probe: equal tokens in, positions 1, 2, 3 … out.

A model must say where each token is when nothing but its position tells it apart. That is known to be

    impossible   with softmax attention whose scores alone depend on positions: RoPE, ALiBi, or no positions at all
    impossible   the same behind a causal mask: every row averages equal values
    possible     where weights do not sum to one (l2 normalization, squared ReLU) or are multiplied afterwards (URPE)
    possible     where one token differs, such as a BOS in front, or positions are added to the input

so that a run with another result has a leak or a bug.
Chance is 1 in the number of positions; always saying the middle has the least mean error of a constant, a quarter of
the number.

Source: Luo et al. 2022, arXiv:2205.13401, section 3; Su 2022, kexue.fm/archives/9105.
"""

from dataclasses import dataclass

from longspan.errors import InputError
from longspan.prompts.sequence import SequenceExample, SequenceTask
from longspan.task import Material


@dataclass(frozen=True)
class PositionProbe(SequenceTask):
    """Equal tokens whose positions are asked for.

    Arguments:
        vocabulary: each example repeats one id of 0 … vocabulary − 1.
        first: the id of a token in front, which makes the probe possible; None for none.
    """

    vocabulary: int = 8192
    first: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings that make no example.

        Errors: InputError.
        """
        least = 1 if self.first is None else 2
        self.require(self.vocabulary >= least, "vocabulary", f"at least {least}")
        self.require(self.first is None or self.first >= 0, "first", "None or a token id, 0 or more")

    def tokens(self, length: int) -> int:
        """Return the vocabulary, and room for the last position."""
        return max(self.vocabulary, length + 1)

    def example(self, material: Material, length: int, index: str) -> SequenceExample:
        """Make one sequence of `length` tokens; positions are counted from 1, a token in front has none.

        Errors: InputError where there is no room for a token.
        """
        front = () if self.first is None else (self.first,)
        count = length - len(front)
        if count < 1:
            raise InputError(f"{self.seed(length, index)}: {length} tokens hold no token to ask about: give more")
        taken = self.vocabulary if self.first is None else self.first
        token = self.generator(length, index).randrange(self.vocabulary - (taken < self.vocabulary))
        token += token >= taken  # the ids behind that of the token in front move up
        targets = {len(front) + i: i + 1 for i in range(count)}
        return SequenceExample((*front, *[token] * count), targets)
