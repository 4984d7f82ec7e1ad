"""Rows: which tokens a step reads, as a function of the seed and the step alone, so that a resumed run reads the same.

A row is L + 1 tokens in a row of one document, from anywhere in it. Documents that are shorter are packed into rows of
their own, one after the other; there positions begin anew with each document, and no token sees another document.

Each document is read as often as its tokens are many, however near to L they are: first the document is drawn, then a
place in it. Of documents far longer than L all places are drawn from at once.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.errors import InputError
from longspan.train.data.texts import Texts

FAR = 32
"""Times L, from which on a document has as many places as tokens, but for 3 %."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows of texts.

    Arguments:
        ids: token ids, L + 1 per row.
        positions: where each document of a row begins anew, 0, 1, 2 …; None where each row is one document.
    """

    ids: Int64[Tensor, "rows tokens"]
    positions: Int64[Tensor, "rows tokens"] | None = None


@dataclass(frozen=True)
class Rows:
    """All rows of some texts.

    Arguments:
        texts: the documents.
        length: L, tokens that a row predicts.
        seed: of the order.
        joined: whether all documents count as one.
        packed: whether short documents are packed; otherwise they are left out.
        copies: how often the texts hold each document, in different segmentations.

    Errors: InputError where the texts are shorter than a row.
    """

    texts: Texts = field(hash=False)
    length: int
    seed: int = 0
    joined: bool = False
    packed: bool = True
    copies: int = 1

    def __post_init__(self) -> None:
        if not self._long[1].sum() and not self._packed:
            raise InputError(
                f"the training texts give no row of {self.length + 1} tokens: give more texts, or a smaller "
                "training.length"
            )

    @cached_property
    def _long(self) -> tuple[np.ndarray, np.ndarray]:
        """Where rows inside one document may begin: the first place of each document, and how many places it has."""
        ends = np.array([len(self.texts.tokens)]) if self.joined else self.texts.ends
        starts = np.concatenate([[0], ends[:-1]])
        places = ends - starts - self.length
        return starts[places > 0], places[places > 0]

    @cached_property
    def _packed(self) -> list[list[tuple[int, int]]]:
        """Rows of short documents: of each document, its first token and how many of its tokens."""
        if self.joined or not self.packed:
            return []
        rows: list[list[tuple[int, int]]] = []
        row: list[tuple[int, int]] = []
        room = self.length + 1
        for start, count in zip(self.texts.starts, self.texts.lengths, strict=True):
            if count > self.length:
                continue
            taken = min(int(count), room)
            row.append((int(start), taken))
            room -= taken
            if not room:
                rows.append(row)
                row, room = [], self.length + 1
        return rows

    @cached_property
    def _alike(self) -> bool:
        """Whether all rows lie inside one document or far longer ones, so that one draw among all places serves."""
        _, places = self._long
        return not self._packed and (len(places) == 1 or int((places + self.length).min()) >= FAR * self.length)

    @property
    def packs(self) -> bool:
        """Whether some rows hold several documents."""
        return bool(self._packed)

    @property
    def left_out(self) -> int:
        """Tokens that no row holds."""
        if self.joined:
            return 0
        short = int(self.texts.lengths[self.texts.lengths <= self.length].sum())
        return short - sum(count for row in self._packed for _, count in row)

    def draw(self, step: int, count: int) -> Drawn:
        """Return the rows of a step; documents, and rows of short ones, come as often as their tokens are many."""
        generator = np.random.default_rng([self.seed, step])
        starts, places = self._long
        shares = (places if self._alike else places + self.length).cumsum()
        long, packed = int(shares[-1]) if len(shares) else 0, len(self._packed) * (self.length + 1)
        ids = np.empty((count, self.length + 1), dtype=np.int64)
        positions = np.tile(np.arange(self.length + 1), (count, 1))
        any_packed = False
        for row in range(count):
            if generator.integers(long + packed) < long:
                drawn = int(generator.integers(long))
                which = int(np.searchsorted(shares, drawn, side="right"))
                if self._alike:
                    place = drawn - (int(shares[which - 1]) if which else 0)
                else:
                    place = int(generator.integers(places[which]))
                begin = int(starts[which]) + place
                ids[row] = self.texts.tokens[begin : begin + self.length + 1]
            else:
                any_packed, at = True, 0
                for begin, taken in self._packed[int(generator.integers(len(self._packed)))]:
                    ids[row, at : at + taken] = self.texts.tokens[begin : begin + taken]
                    positions[row, at : at + taken] = np.arange(taken)
                    at += taken
        return Drawn(torch.from_numpy(ids), torch.from_numpy(positions) if any_packed else None)

    def described(self) -> dict[str, Any]:
        """Return what is known of the texts."""
        size = self.copies * sum(Path(name).stat().st_size for name in dict.fromkeys(self.texts.names))
        count = len(self.texts.tokens)
        return {"tokens": count, "tokens_left_out": self.left_out, "bytes_per_token": round(size / count, 4)}
