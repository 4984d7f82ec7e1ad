"""Packed documents and padding as spans: queries against the keys of their own document, equal spans batched."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.places import PADDING, Places
from longspan.compute.tiling.lowering import Span


@dataclass(frozen=True)
class Tokens:
    """The indices of one document's tokens in a tensor, in their order.

    Arguments:
        runs: ranges of indices; padding or tokens of other documents lie between them.
    """

    runs: tuple[range, ...]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def of(self, x: Float[Tensor, "rows heads _ d"]) -> Float[Tensor, "rows heads tokens d"]:
        """The tokens side by side: a view of one run, a copy of several."""
        index = self.index
        return x[:, :, index] if isinstance(index, slice) else x.index_select(2, index.to(x.device))

    @cached_property
    def index(self) -> slice | Shaped[Tensor, " tokens"]:
        """The indices in the form that indexes a tensor."""
        if len(self.runs) == 1:
            return slice(self.runs[0].start, self.runs[0].stop)
        start, count = torch.tensor([(run.start, len(run)) for run in self.runs]).unbind(1)
        return torch.arange(len(self)) + (start - count.cumsum(0) + count).repeat_interleave(count)


@dataclass(frozen=True)
class Patch:
    """One span of a batch: which of its rows and tokens.

    Arguments:
        rows: rows of the batch.
        queries, keys: indices of the tokens.
        span: orders and positions of these tokens.
    """

    rows: slice
    queries: Tokens
    keys: Tokens
    span: Span

    def of(self, x: Inputs) -> Inputs:
        """The inputs of the span alone."""
        return replace(
            x,
            query=self.queries.of(x.query[self.rows]),
            key=self.keys.of(x.key[self.rows]),
            value=self.keys.of(x.value[self.rows]),
            queries=self._places(x.queries, self.queries),
            keys=self._places(x.keys, self.keys),
        )

    def _places(self, places: Places, tokens: Tokens) -> Places:
        rows = self.rows if len(places.order) > 1 else slice(0, 1)
        every = places.order, places.coordinate, places.document
        return Places(*(tensor[rows, tokens.index] for tensor in every))


def patches(queries: Places, keys: Places, batch: int, regular: bool) -> list[Patch] | str:
    """The documents of a batch as patches, or the reason why they cannot be patches.

    `regular` asks that positions step by one with the order, which distances and biases need.
    """
    span = Span.of(queries, keys, regular)
    if span is not None:
        return [Patch(slice(0, batch), Tokens((range(span.queries),)), Tokens((range(span.keys),)), span)]
    found: list[Patch] = []
    rows = range(batch) if max(len(queries.order), len(keys.order)) > 1 else [slice(0, batch)]
    for row in rows:
        b = row if isinstance(row, int) else 0
        bq, bk = min(b, len(queries.order) - 1), min(b, len(keys.order) - 1)
        asking = _documents(queries.document[bq])
        for document, key in _documents(keys.document[bk]).items():
            query = asking.get(document)
            if query is None:
                continue
            q, k = _Line.of(queries, bq, query), _Line.of(keys, bk, key)
            if isinstance(q, str) or isinstance(k, str):
                return q if isinstance(q, str) else str(k)
            if regular and (q.shift is None or k.shift is None or q.shift != k.shift):
                return "its coordinates do not step by one with the order"
            span = Span(len(query), len(key), q.order, k.order, (q.shift or 0) if regular else 0)
            found.append(Patch(row if isinstance(row, slice) else slice(b, b + 1), query, key, span))
    return _joined(found)


@dataclass(frozen=True)
class _Line:
    order: int
    shift: int | None

    @staticmethod
    def of(places: Places, b: int, tokens: Tokens) -> "_Line | str":
        order, count = places.order[b, tokens.index], len(tokens)
        if int(order[-1]) - int(order[0]) != count - 1 or (count > 1 and not bool((order.diff() == 1).all())):
            return "its tokens are not in order"
        shift = places.coordinate[b, tokens.index, 0] - order
        whole = not shift.is_floating_point() or bool((shift == shift.round()).all())
        same = whole and bool((shift == shift[0]).all())
        return _Line(int(order[0]), int(shift[0]) if same else None)


def _documents(row: Shaped[Tensor, " places"]) -> dict[int, Tokens]:
    """The tokens of each document in one row of the batch."""
    numbers, counts = row.unique_consecutive(return_counts=True)
    stops = counts.cumsum(0).tolist()
    runs: dict[int, list[range]] = {}
    for number, count, stop in zip(numbers.tolist(), counts.tolist(), stops, strict=True):
        if number != PADDING:
            runs.setdefault(number, []).append(range(stop - count, stop))
    return {number: Tokens(tuple(some)) for number, some in runs.items()}


def _joined(found: list[Patch]) -> list[Patch]:
    """The same patches, with equal patches of neighboring rows joined."""
    joined: dict[tuple[Tokens, Tokens, Span], list[slice]] = {}
    for patch in found:
        rows = joined.setdefault((patch.queries, patch.keys, patch.span), [])
        if rows and rows[-1].stop == patch.rows.start:
            rows[-1] = slice(rows[-1].start, patch.rows.stop)
        else:
            rows.append(patch.rows)
    return [Patch(some, *what) for what, rows in joined.items() for some in rows]
