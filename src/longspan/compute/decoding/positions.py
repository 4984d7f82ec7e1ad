"""Positions of few queries and of the keys of a cache, as values: equal ones share what is prepared for them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from longspan.compute.places import Places, places
from longspan.compute.tiling.lowering import Span
from longspan.compute.tiling.spans import Tokens, patches


class RowGroup(NamedTuple):
    """Rows of a batch whose queries and keys have the same positions.

    Arguments:
        start, stop: first row and one past the last.
        queries, keys: which tokens of the tensors the group sees.
        span: positions of these tokens.
    """

    start: int
    stop: int
    queries: Tokens
    keys: Tokens
    span: Span


@dataclass(frozen=True)
class KnownPositions:
    """Positions of keys that all come as the cache keeps them."""

    known: tuple[RowGroup, ...] | None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Computed once: every layer of a step looks up the same positions."""
        return hash(self.known)

    @classmethod
    def of(cls, queries: Places, keys: Places, batch: int) -> "KnownPositions":
        """The positions that tensors spell out for a batch of so many rows."""
        found = patches(queries, keys, batch, regular=True)
        if isinstance(found, str):
            return cls(None)
        return cls(tuple(RowGroup(p.rows.start, p.rows.stop, p.queries, p.keys, p.span) for p in found))

    def groups(self) -> tuple[RowGroup, ...] | None:
        """Rows of the batch by their positions; None where these do not step by one, token by token."""
        return self.known

    def new_keys(self) -> None:
        """None: no key comes unrotated."""
        return


class AppendedPositions(NamedTuple):
    """Positions of new tokens behind those of a `Cache`: 0, 1, 2 … in each row of the batch, padding left out.

    Arguments:
        batch: number of rows.
        before, new: how many tokens the cache holds, and how many come.
        queries: how many of the last tokens have a query.
        padding: which tokens are padding, the bytes of (batch, before + new) booleans; None where no token is.
    """

    batch: int
    before: int
    new: int
    queries: int
    padding: bytes | None

    def places(self, device: torch.device | None = None) -> tuple[Places, Places]:
        """The positions of queries and keys as tensors.

        Errors: ShapeError for more queries than keys.
        """
        return places(self.queries, self.before + self.new, padding=self._hidden(device), device=device)

    def groups(self) -> tuple[RowGroup, ...] | None:
        """Rows of the batch by their positions."""
        return KnownPositions.of(*self.places(), self.batch).known

    def new_keys(self) -> Shaped[Tensor, "_ new 1"]:
        """Positions of the new keys, which come unrotated."""
        return self.places()[1].last(self.new).coordinate

    def _hidden(self, device: torch.device | None) -> Bool[Tensor, "batch length"] | None:
        if self.padding is None:
            return None
        return torch.frombuffer(bytearray(self.padding), dtype=torch.bool).view(self.batch, -1).to(device)


StepPositions = KnownPositions | AppendedPositions
"""Positions of the queries and the keys of a call; hashable, and equal where they are the same."""
