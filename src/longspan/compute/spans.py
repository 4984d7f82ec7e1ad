"""Places as spans: runs of queries against the keys of their own document, equal ones batched."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from longspan.compute.lowering import Span
from longspan.compute.places import PADDING, Places


@dataclass(frozen=True)
class Patch:
    """Where one span lies in a batch.

    Arguments:
        rows: of the batch.
        queries, keys: first query and first key in the tensors.
        span: what lies there.
    """

    rows: slice
    queries: int
    keys: int
    span: Span


def patches(queries: Places, keys: Places, batch: int, regular: bool) -> list[Patch] | str:
    """The documents of a batch as patches, or the reason why they are none.

    `regular` asks that coordinates step by one wherever order does, which distances and biases need.
    """
    span = one_span(queries, keys)
    if span is not None:
        return [Patch(slice(0, batch), 0, 0, span if regular else replace(span, shift=0))]
    found: list[Patch] = []
    rows = range(batch) if max(len(queries.order), len(keys.order)) > 1 else [slice(0, batch)]
    for row in rows:
        b = row if isinstance(row, int) else 0
        for start, stop, document in _runs(keys.document[min(b, len(keys.document) - 1)]):
            query = queries.document[min(b, len(queries.document) - 1)] == document
            where = query.nonzero()[:, 0]
            if not len(where):
                continue
            first, count = int(where[0]), len(where)
            q = _Line.of(queries, min(b, len(queries.order) - 1), first, count)
            k = _Line.of(keys, min(b, len(keys.order) - 1), start, stop - start)
            if isinstance(q, str) or isinstance(k, str):
                return q if isinstance(q, str) else str(k)
            if regular and (q.shift is None or k.shift is None or q.shift != k.shift):
                return "its coordinates do not step by one with the order"
            span = Span(count, stop - start, q.order, k.order, (q.shift or 0) if regular else 0)
            found.append(Patch(row if isinstance(row, slice) else slice(b, b + 1), first, start, span))
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
    def of(places: Places, b: int, first: int, count: int) -> "_Line | str":
        order = places.order[b, first : first + count]
        if int(order[-1]) - int(order[0]) != count - 1 or (count > 1 and not bool((order.diff() == 1).all())):
            return "its tokens are not in order"
        shift = places.coordinate[b, first : first + count, 0] - order
        whole = not shift.is_floating_point() or bool((shift == shift.round()).all())
        same = whole and bool((shift == shift[0]).all())
        return _Line(int(order[0]), int(shift[0]) if same else None)


def _runs(document: Tensor) -> Iterator[tuple[int, int, int]]:
    values, counts = document.unique_consecutive(return_counts=True)
    stops = counts.cumsum(0).tolist()
    for value, count, stop in zip(values.tolist(), counts.tolist(), stops, strict=True):
        if value != PADDING:
            yield stop - count, stop, value


def _joined(found: list[Patch]) -> list[Patch]:
    """Neighboring rows of the batch with the same patch made one."""
    joined: list[Patch] = []
    for patch in sorted(found, key=lambda p: (p.queries, p.keys, p.span.queries, p.span.keys, p.rows.start)):
        last = joined[-1] if joined else None
        if last and last.rows.stop == patch.rows.start and replace(last, rows=patch.rows) == patch:
            joined[-1] = replace(patch, rows=slice(last.rows.start, patch.rows.stop))
        else:
            joined.append(patch)
    return joined
