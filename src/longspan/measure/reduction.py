"""A reduction: what to read of a text, and one number that the losses of its tokens come to.

All reductions are of the same array, the loss of every token (`longspan.measure.reading.token_nll`). They differ in
what is read before each scored token and in which tokens are averaged, and that is what makes published numbers of one
model differ. A reduction is one file of `longspan/measure/reductions`; the folder is the registry. Several reductions
of one text share what they read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from longspan.errors import InputError
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import Piece, TokenScores, score_pieces
from longspan.memo import remember
from longspan.notation import read_value
from longspan.registry import name_of, registered


@dataclass(frozen=True)
class Text:
    """What a reduction reads from.

    Arguments:
        ids: the text's tokens, without special tokens.
        trained_length: tokens that the model was trained on.
        decode: the text of token ids.
        opening: the special tokens that the tokenizer puts before every text; they take the place of the first ones.
    """

    ids: tuple[int, ...]
    trained_length: int
    decode: Callable[[Sequence[int]], str] = str
    opening: tuple[int, ...] = ()

    def piece(self, start: int, stop: int, scored: int | None = None) -> Piece:
        """Return tokens start … stop as a piece, scored from `scored` on, by default from its first predicted token."""
        opening = self.opening[: stop - start]
        ids = (*opening, *self.ids[start + len(opening) : stop])
        first = max(1, len(opening))
        return Piece(ids, first if scored is None else max(first, scored - start))

    def size(self, start: int, stop: int) -> int:
        """Return how many UTF-8 bytes tokens start … stop add to the text before them."""
        return len(self.decode(self.ids[:stop]).encode()) - len(self.decode(self.ids[:start]).encode())


class Reduction(ABC):
    """A value whose fields are settings with defaults."""

    unit: ClassVar[str]
    """What `value` is measured in."""

    reads_all: ClassVar[bool] = False
    """Whether it reads more of a text than its first `length` tokens."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return name_of(type(self))

    @abstractmethod
    def pieces(self, text: Text, length: int) -> tuple[Piece, ...]:
        """Return what to read of a text, of at most `length` tokens each.

        Errors: InputError where the text or the length does not suffice.
        """

    @abstractmethod
    def reduce(self, text: Text, length: int, found: Sequence[TokenScores]) -> dict[str, Any]:
        """Return `value`, the number that stands for the text, and what belongs to it, as JSON.

        Arguments:
            found: the scores of `pieces`, in the same order.
        """


@remember(None)
def reductions() -> dict[str, type[Reduction]]:
    """Return every reduction by its name, found by walking the folder."""
    return registered("longspan.measure.reductions", Reduction)


def reduction_of(text: str) -> Reduction:
    """Return the reduction that a text describes, "last_k" or "last_k(k=512)".

    Errors: NotationError for a text that names none.
    """
    return read_value(text, reductions(), "loss")


def reduced(reader: Reader, text: Text, length: int, wanted: Mapping[str, Reduction]) -> dict[str, dict[str, Any]]:
    """Return the results of reductions by the names that are given; what they share is read once."""
    plans = {name: each.pieces(text, length) for name, each in wanted.items()}
    found = score_pieces(reader, [piece for plan in plans.values() for piece in plan])
    return {name: each.reduce(text, length, [found[piece] for piece in plans[name]]) for name, each in wanted.items()}


def require(text: Text, length: int, least: int, what: str) -> None:
    """Check that a reduction has enough to read.

    Errors: InputError where `length` is below `least` or the text is shorter than `length`.
    """
    if not text.ids:
        raise InputError(f"{what} needs a text, got an empty one")
    if length < least:
        raise InputError(f"{what} needs at least {least} tokens, got a length of {length}")
    if len(text.ids) < length:
        raise InputError(f"{what} at {length} tokens needs a text as long, got one of {len(text.ids)} tokens")


def pooled(found: Sequence[TokenScores]) -> TokenScores:
    """Return the scores of several pieces one after the other, so that every token counts the same."""
    return TokenScores(torch.cat([each.nll for each in found]), torch.cat([each.right for each in found]))
