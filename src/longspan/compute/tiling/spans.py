"""Places as spans: queries against the keys of their own document, wherever its tokens lie; equal ones batched."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.compute.places import PADDING, Places
from longspan.compute.tiling.lowering import Span


@dataclass(frozen=True)
class Tokens:
    """Where the tokens of one document lie in a tensor, in their order.

    Arguments:
        runs: their indices; padding or tokens of other documents lie between the runs.
    """

    runs: tuple[range, ...]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def of(self, x: Float[Tensor, "rows heads places d"]) -> Float[Tensor, "rows heads tokens d"]:
        """Those tokens side by side: a view of one run, a copy of several."""
        index = self.index
        return x[:, :, index] if isinstance(index, slice) else x.index_select(2, index.to(x.device))

    @cached_property
    def index(self) -> slice | Shaped[Tensor, " tokens"]:
        """The indices as a tensor takes them."""
        if len(self.runs) == 1:
            return slice(self.runs[0].start, self.runs[0].stop)
        start, count = torch.tensor([(run.start, len(run)) for run in self.runs]).unbind(1)
        return torch.arange(len(self)) + (start - count.cumsum(0) + count).repeat_interleave(count)


@dataclass(frozen=True)
class Patch:
    """Where one span lies in a batch.

    Arguments:
        rows: of the batch.
        queries, keys: where they lie in the tensors.
        span: what lies there.
    """

    rows: slice
    queries: Tokens
    keys: Tokens
    span: Span


def patches(queries: Places, keys: Places, batch: int, regular: bool) -> list[Patch] | str:
    """The documents of a batch as patches, or the reason why they are none.

    `regular` asks that coordinates step by one wherever order does, which distances and biases need.
    """
    span = one_span(queries, keys)
    if span is not None:
        span = span if regular else replace(span, shift=0)
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


def one_span(queries: Places, keys: Places) -> Span | None:
    """All queries and all keys as one span, where they are runs of the same document on the same line."""
    q, k = queries.run, keys.run
    if q is None or k is None or (q.shift, q.document) != (k.shift, k.document):
        return None
    return Span(q.count, k.count, q.first, k.first, q.shift)


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
    """Where the tokens of each document lie in one row of the batch."""
    numbers, counts = row.unique_consecutive(return_counts=True)
    stops = counts.cumsum(0).tolist()
    runs: dict[int, list[range]] = {}
    for number, count, stop in zip(numbers.tolist(), counts.tolist(), stops, strict=True):
        if number != PADDING:
            runs.setdefault(number, []).append(range(stop - count, stop))
    return {number: Tokens(tuple(some)) for number, some in runs.items()}


def _joined(found: list[Patch]) -> list[Patch]:
    """Neighboring rows of the batch with the same patch made one."""
    joined: dict[tuple[Tokens, Tokens, Span], list[slice]] = {}
    for patch in found:
        rows = joined.setdefault((patch.queries, patch.keys, patch.span), [])
        if rows and rows[-1].stop == patch.rows.start:
            rows[-1] = slice(rows[-1].start, patch.rows.stop)
        else:
            rows.append(patch.rows)
    return [Patch(some, *what) for what, rows in joined.items() for some in rows]
