"""The sequence that processes share: where its tokens are, the spans of any two chunks, and who needs which chunk.

One document at steady positions is one span. Packed documents, padding and positions that jump are cut into spans as in
`tiling/spans.py`; they are found once on the CPU, and every layer asks for the same ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import torch

from longspan.compute.places import Places, contiguous
from longspan.compute.ring.zigzag import Zigzag
from longspan.compute.tiling.lowering import Span, count_visible
from longspan.compute.tiling.spans import Patch, patches
from longspan.errors import RefusalError, ShapeError
from longspan.memo import remember
from longspan.scheme import Scheme


@dataclass(frozen=True)
class Part:
    """Queries of one chunk against keys of another, of one document.

    Arguments:
        patch: which rows and tokens of the two chunks.
        whole: the same queries against all keys of their document, on which it depends how sharp they are.
    """

    patch: Patch
    whole: Span


@dataclass(frozen=True, eq=False)
class Shared:
    """The places of a sequence, the same in all processes.

    Arguments:
        zigzag: who holds what.
        places: of the whole sequence, on the CPU.

    Errors: ShapeError where there are more or fewer places than tokens.
    """

    zigzag: Zigzag
    places: Places
    _parts: dict[tuple[int, int, int, bool], tuple[Part, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (given := self.places.order.shape[1]) != self.zigzag.length:
            raise ShapeError(f"places must be those of all {self.zigzag.length} tokens, got {given}")

    @classmethod
    def contiguous(cls, zigzag: Zigzag) -> "Shared":
        """One document at the positions 0 … length − 1."""
        return cls(zigzag, contiguous(zigzag.length))

    @cached_property
    def _moved(self) -> dict[torch.device, Places]:
        return {}

    def chunk(self, number: int, device: torch.device) -> Places:
        """The places of a chunk, on a device."""
        if device not in self._moved:
            self._moved[device] = self.places.to(device)
        return self._moved[device].slice(number * self.zigzag.size, (number + 1) * self.zigzag.size)

    def parts(self, query_chunk: int, key_chunk: int, batch: int, regular: bool) -> tuple[Part, ...]:
        """The spans of two chunks.

        Arguments:
            batch: rows of the queries.
            regular: whether positions must step by one with the order.

        Errors: RefusalError where they must and do not.
        """
        asked = query_chunk, key_chunk, batch, regular
        if asked not in self._parts:
            self._parts[asked] = tuple(self._find(*asked))
        return self._parts[asked]

    def pairs(self, scheme: Scheme, query_chunk: int, key_chunk: int) -> int:
        """How many pairs of two chunks exist: those of one document that the mask lets see each other."""
        parts = self.parts(query_chunk, key_chunk, len(self.places.order), regular=False)
        return sum(_count_pairs(scheme, each.patch.span) * _rows(each.patch) for each in parts)

    def needed(self, scheme: Scheme, rank: int, source: int) -> tuple[int, ...]:
        """The chunks of `source` of which process `rank` sees a key."""
        own = self.zigzag.chunks(rank)
        return tuple(c for c in self.zigzag.chunks(source) if any(self.pairs(scheme, mine, c) for mine in own))

    def sent(self, scheme: Scheme, rank: int) -> int:
        """How many keys process `rank` sends in a forward pass, and values as many."""
        others = (other for other in range(self.zigzag.ranks) if other != rank)
        return sum(len(self.needed(scheme, other, rank)) * self.zigzag.size for other in others)

    def _find(self, query_chunk: int, key_chunk: int, batch: int, regular: bool) -> list[Part]:
        queries, keys = (self.chunk(number, torch.device("cpu")) for number in (query_chunk, key_chunk))
        found = patches(queries, keys, batch, regular)
        if isinstance(found, str):
            raise RefusalError(f"a sequence cannot be shared by several processes: {found}")
        return [part for patch in found for part in self._parts_of(patch, queries)]

    def _parts_of(self, patch: Patch, queries: Places) -> Iterator[Part]:
        """The patch, cut between rows that are alike in these chunks and whose documents end elsewhere beyond them."""
        rows = patch.rows if len(queries.document) > 1 else slice(0, 1)
        document = queries.document[rows][:, patch.queries.index][:, :1]
        counts = (self.places.document[rows] == document).sum(1).tolist()
        start = patch.rows.start
        for count, alike in groupby(counts):
            stop = start + len(list(alike)) if len(counts) > 1 else patch.rows.stop
            yield Part(replace(patch, rows=slice(start, stop)), replace(patch.span, keys=count, first_key=0))
            start = stop


def _rows(patch: Patch) -> int:
    return patch.rows.stop - patch.rows.start


@remember(4096)
def _count_pairs(scheme: Scheme, span: Span) -> int:
    """How many pairs of a span the mask lets exist; every call of every layer asks again."""
    return int(count_visible(scheme, span, torch.device("cpu")).sum())
