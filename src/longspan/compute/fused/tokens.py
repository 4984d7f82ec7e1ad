"""The tokens of a call as sorted documents: where the keys of each query's document lie.

A fused kernel knows intervals of keys, so the tokens of each document must lie side by side and in their order. Tokens
that lie otherwise (padding in the middle, documents that take turns) are sorted first and the output is sorted back.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.places import PADDING, Places


@dataclass(frozen=True, eq=False)
class Tokens:
    """Queries, sorted by document and order, and where the keys of their documents lie among the sorted keys.

    Tensors are (1 or batch, queries); a run of one document needs one row.

    Arguments:
        order: of each query in its document.
        start, count: first key of the query's document, and how many keys it has; padding has none.
        first: order of that first key.
        shift: position − order in the document; zero where nothing depends on positions.
        query_index, key_index: what sorts the tokens, (batch, tokens); None where they lie sorted.
        least, reach: every position of a query or key in a document is at least `least` and below `reach`.
    """

    order: Int64[Tensor, "rows queries"]
    start: Int64[Tensor, "rows queries"]
    count: Int64[Tensor, "rows queries"]
    first: Int64[Tensor, "rows queries"]
    shift: Int64[Tensor, "rows queries"]
    query_index: Int64[Tensor, "rows queries"] | None
    key_index: Int64[Tensor, "rows keys"] | None
    least: int
    reach: int

    @property
    def position(self) -> Int64[Tensor, "rows queries"]:
        """Position of each query."""
        return self.order + self.shift

    @property
    def offset(self) -> Int64[Tensor, "rows queries"]:
        """Position of the first key of each query's document."""
        return self.first + self.shift

    @classmethod
    def of(cls, queries: Places, keys: Places, regular: bool) -> "Tokens | str":
        """The tokens of a call, or the reason why their documents are no intervals.

        `regular` asks that positions step by one with the order, which distances and biases need.
        """
        q, k = queries.run, keys.run
        if q is None or k is None or q.document != k.document or (regular and q.shift != k.shift):
            return _sorted(queries, keys, regular)
        order = queries.order[:1]
        shift = q.shift if regular else 0
        reach = max(q.first + q.count, k.first + k.count) + shift
        start, count, first, shifts = (torch.full_like(order, number) for number in (0, k.count, k.first, shift))
        return cls(order, start, count, first, shifts, None, None, min(q.first, k.first) + shift, reach)

    def sort(self, x: Inputs) -> Inputs:
        """The same inputs with their tokens sorted."""
        if self.query_index is None or self.key_index is None:
            return x
        return replace(
            x,
            query=by_index(x.query, self.query_index),
            key=by_index(x.key, self.key_index),
            value=by_index(x.value, self.key_index),
            queries=_gathered(x.queries, self.query_index),
            keys=_gathered(x.keys, self.key_index),
        )


def by_index(x: Shaped[Tensor, "batch heads tokens *d"], index: Int64[Tensor, "rows some"] | None) -> Tensor:
    """The tokens in the order of an index."""
    if index is None:
        return x
    at = index[:, None, :, None] if x.ndim == 4 else index[:, None]
    return x.gather(2, at.expand(len(x), x.shape[1], -1, *x.shape[3:]))


def back(x: Float[Tensor, "batch heads tokens *d"], index: Int64[Tensor, "rows tokens"] | None) -> Tensor:
    """Undo `by_index`."""
    return x if index is None else by_index(x, index.argsort(1))


def _sorted(queries: Places, keys: Places, regular: bool) -> "Tokens | str":
    rows = max(len(queries.order), len(keys.order))
    query_index, key_index = (_together(places, rows) for places in (queries, keys))
    q, k = (_gathered(places, index) for places, index in ((queries, query_index), (keys, key_index)))
    start = torch.searchsorted(k.document, q.document)
    stop = torch.where(q.document == PADDING, start, torch.searchsorted(k.document, q.document, right=True))
    first_key = start.clamp(max=k.document.shape[1] - 1)
    first, seen = k.order.gather(1, first_key), stop > start
    shift_of_key = k.coordinate[..., 0] - k.order
    shift = shift_of_key.gather(1, first_key)
    whole = shift == shift.round() if shift.is_floating_point() else torch.ones_like(seen)
    steps = ((whole & (q.coordinate[..., 0] - q.order == shift)) | ~seen).all()
    steps &= _equal_within(shift_of_key, k.document)
    steady = _steps_by_one(q.order, q.document) & _steps_by_one(k.order, k.document)
    shift = shift.masked_fill(~seen, 0)
    least = (torch.minimum(q.order, first) + shift).masked_fill(~seen, 0).amin()
    reach = (torch.maximum(q.order, first + stop - start) + shift).masked_fill(~seen, 0).amax() + 1
    answers = torch.stack([steady.long(), steps.long(), least.floor().long(), reach.ceil().long()]).tolist()
    if not answers[0]:
        return "its tokens are not in order"
    if regular and not answers[1]:
        return "its coordinates do not step by one with the order"
    shift = shift.long() if regular else torch.zeros_like(first)
    return Tokens(q.order, start, stop - start, first, shift, query_index, key_index, answers[2], answers[3])


def _together(places: Places, rows: int) -> Int64[Tensor, "rows tokens"]:
    """What sorts tokens by document; padding comes first."""
    return places.document.argsort(dim=1, stable=True).expand(rows, -1)


def _gathered(places: Places, index: Tensor) -> Places:
    rows = len(index)
    order, document = (x.expand(rows, -1).gather(1, index) for x in (places.order, places.document))
    at = index[..., None].expand(-1, -1, places.coordinate.shape[-1])
    return Places(order, places.coordinate.expand(rows, -1, -1).gather(1, at), document)


def _steps_by_one(order: Tensor, document: Tensor) -> Tensor:
    """Whether orders step by one inside each document; padding has none."""
    same = (document.diff(dim=1) == 0) & (document[:, 1:] != PADDING)
    return ((order.diff(dim=1) == 1) | ~same).all()


def _equal_within(x: Tensor, document: Tensor) -> Tensor:
    same = (document.diff(dim=1) == 0) & (document[:, 1:] != PADDING)
    return ((x.diff(dim=1) == 0) | ~same).all()
