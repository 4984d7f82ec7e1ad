"""Order, position and document of every query and key."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from longspan.errors import ShapeError

PADDING = -1
"""The document number of padding."""


@dataclass(frozen=True)
class Run:
    """Consecutive tokens of one document, as whole numbers.

    Arguments:
        first: order of the first token.
        count: number of tokens.
        shift: coordinate − order, the same for all tokens.
        document: number of the document.
    """

    first: int
    count: int
    shift: int = 0
    document: int = 0


@dataclass(frozen=True, eq=False)
class Places:
    """Order, position and document of some tokens.

    A token has two numbers that grow along a text: its order, which counts tokens, and its position, which a caller may
    choose. The field is called `coordinate` because a position may have several axes. A tensor with a batch of 1 is
    expanded to the batch of the others.

    Arguments:
        order: number of real tokens before it in its document; masks and sharpness depend on it.
        coordinate: position for rotations and biases; int64 or float64, one or more axes, may jump or repeat.
        document: tokens of different documents do not attend to each other; `PADDING` attends to nothing.
    """

    order: Int64[Tensor, "_ tokens"]
    coordinate: Shaped[Tensor, "_ tokens axes"]
    document: Int64[Tensor, "_ tokens"]

    def __post_init__(self) -> None:
        batch = max(len(self.order), len(self.coordinate), len(self.document))
        for name in ("order", "coordinate", "document"):
            tensor = getattr(self, name)
            object.__setattr__(self, name, tensor.expand(batch, *tensor.shape[1:]))

    @cached_property
    def here(self) -> "Places":
        """The same places on the CPU, where questions about them wait for no device. They are fetched once, if ever."""
        if self.order.device.type in ("cpu", "meta"):
            return self
        run = self.__dict__.get("run")
        if run is None:
            return Places(self.order.cpu(), self.coordinate.cpu(), self.document.cpu())
        order = torch.arange(run.first, run.first + run.count)[None]
        coordinate = (order[..., None] + run.shift).to(self.coordinate.dtype)
        return _spelled(Places(order, coordinate, torch.full_like(order, run.document)), run)

    @cached_property
    def run(self) -> Run | None:
        """The tokens as one run, the same in all rows; None where they are not."""
        if self.here is not self:
            return self.here.run
        order, coordinate, document = self.order, self.coordinate, self.document
        if len(order) > 1 or coordinate.shape[-1] > 1 or not order.shape[1]:
            return None
        shift = coordinate[..., 0] - order
        first, number, shifted = int(order[0, 0]), int(document[0, 0]), shift[0, 0].item()
        steady = (order.diff() == 1).all() & (document == number).all() & (shift == shifted).all()
        if number == PADDING or shifted != round(shifted) or not bool(steady):
            return None
        return Run(first, order.shape[1], int(shifted), number)

    def last(self, count: int) -> "Places":
        """The last `count` tokens."""
        return self.slice(self.order.shape[1] - count, self.order.shape[1])

    def slice(self, start: int, stop: int) -> "Places":
        """The tokens start … stop − 1."""
        part = Places(self.order[:, start:stop], self.coordinate[:, start:stop], self.document[:, start:stop])
        known, here = self.__dict__.get("run"), self.__dict__.get("here")
        if here is not None and here is not self:
            part.__dict__["here"] = here.slice(start, stop)
        return part if known is None else _spelled(part, replace(known, first=known.first + start, count=stop - start))

    def to(self, device: torch.device) -> "Places":
        """The same places on a device."""
        if self.order.device == device:
            return self
        if device.type == "cpu":
            return self.here
        moved = Places(self.order.to(device), self.coordinate.to(device), self.document.to(device))
        moved.__dict__["here"] = self.here
        return moved

    def along(self, axis: int = 0) -> Shaped[Tensor, "batch tokens"]:
        """The position on one axis."""
        return self.coordinate[..., axis]


def contiguous(count: int, device: torch.device | None = None) -> Places:
    """One document of `count` tokens at the positions 0 … count − 1."""
    order = torch.arange(count, device=device)[None]
    return _spelled(Places(order, order[..., None], torch.zeros_like(order)), Run(0, count))


def _spelled(places: Places, run: Run | None) -> Places:
    """The same places with a known run, or none, so that it need not be read off the tensors."""
    places.__dict__["run"] = run
    return places


def places(
    queries: int,
    keys: int,
    *,
    query_positions: Tensor | None = None,
    key_positions: Tensor | None = None,
    documents: Tensor | None = None,
    padding: Tensor | None = None,
    device: torch.device | None = None,
) -> tuple[Places, Places]:
    """Order, position and document of queries and keys, from the arguments of `longspan.attend`.

    Keys have the positions 0 … keys − 1 in their document and the queries are the last of them, unless positions say
    otherwise. Positions given for queries alone are their order as well; positions given for keys change no order.

    Errors: ShapeError for a tensor that does not fit, with its name, its shape and the shape wanted.
    """
    if query_positions is None and queries > keys:
        raise ShapeError(f"{queries} queries against {keys} keys: give query_positions, or at most {keys} queries")
    if query_positions is None and key_positions is None and documents is None and padding is None:
        key = contiguous(keys, device)
        return key.last(queries), key
    _check_batches(query_positions, key_positions, documents, padding)
    document = torch.zeros(1, keys, dtype=torch.int64, device=device)
    if documents is not None:
        document = _checked(documents, "documents", keys)
        if (document < 0).any() or (document.is_floating_point() and (document != document.round()).any()):
            raise ShapeError("documents must be numbered from 0 up, without fractions; mark padding with padding=")
        document = document.to(torch.int64)  # PADDING would be True among booleans
    real = torch.ones_like(document, dtype=torch.bool) if padding is None else ~_checked(padding, "padding", keys)
    document = document.expand(real.shape[0], -1) if len(document) == 1 else document
    real = real.expand_as(document)
    order = _before(real) if documents is None else _order(document, real)
    document = document.masked_fill(~real, PADDING)
    key = Places(
        order, order[..., None] if key_positions is None else _coordinate(key_positions, "key", keys), document
    )
    if query_positions is None:
        return key.last(queries), key
    coordinate = _coordinate(query_positions, "query", queries)
    if key_positions is not None:
        last = key.last(queries)
        return Places(last.order, coordinate, last.document), key
    if coordinate.shape[-1] > 1 or coordinate.is_floating_point():
        raise ShapeError("query_positions off the whole-number line need key_positions too")
    if queries > keys and (documents is not None or padding is not None):
        raise ShapeError(
            f"{queries} queries against {keys} keys of several documents or with padding: give key_positions"
        )
    where = key.last(queries).document if queries <= keys else torch.zeros_like(coordinate[..., 0])
    return Places(coordinate[..., 0], coordinate, where), key


def _check_batches(*given: Tensor | None) -> None:
    """Refuse arguments of several rows, of which one has more rows than another."""
    names = ("query_positions", "key_positions", "documents", "padding")
    rows = {name: len(x) for name, x in zip(names, given, strict=True) if x is not None and x.ndim > 1 and len(x) != 1}
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in rows.items())
        raise ShapeError(f"positions, documents and padding must have one row, or all as many: {found}")


def _checked(given: Tensor, name: str, wanted: int) -> Tensor:
    if given.ndim != 2 or given.shape[1] != wanted:
        raise ShapeError(f"{name} must be (batch, {wanted}), one per key, got {tuple(given.shape)}")
    return given


def _coordinate(given: Tensor, name: str, wanted: int) -> Tensor:
    shaped = given[None] if given.ndim == 1 else given
    if shaped.ndim not in (2, 3) or shaped.shape[1] != wanted:
        raise ShapeError(
            f"{name}_positions must be (batch, {wanted}) or (batch, {wanted}, axes), got {tuple(given.shape)}"
        )
    shaped = shaped[..., None] if shaped.ndim == 2 else shaped
    # Whole numbers are finite: a device is not asked, for which the CPU would have to wait.
    if shaped.is_complex() or (shaped.is_floating_point() and not bool(shaped.isfinite().all())):
        raise ShapeError(f"{name}_positions must be real and finite; mark padding with padding=")
    # A copy: the caller may write to the positions before a backward pass reads them again.
    return shaped.to(torch.float64 if shaped.is_floating_point() else torch.int64, copy=True)


def _before(real: Bool[Tensor, "batch tokens"]) -> Int64[Tensor, "batch tokens"]:
    """The number of real tokens before each token."""
    return real.cumsum(1) - real.long()


def _order(
    document: Shaped[Tensor, "batch tokens"], real: Bool[Tensor, "batch tokens"]
) -> Int64[Tensor, "batch tokens"]:
    """The number of real tokens of the same document before each token, whatever lies between them."""
    together = document.argsort(dim=1, stable=True)  # the tokens of each document side by side, in their order
    document, before = document.gather(1, together), _before(real.gather(1, together))
    starts = torch.ones_like(document, dtype=torch.bool)
    starts[:, 1:] = document[:, 1:] != document[:, :-1]
    order = before - before.masked_fill(~starts, 0).cummax(1).values
    return torch.empty_like(order).scatter_(1, together, order)


def visible(query: Places, key: Places, mask, causal: bool) -> Bool[Tensor, "batch 1 queries keys"]:
    """Which pairs exist: those of one document for which the mask holds."""
    document = query.document[:, :, None]
    same = (document == key.document[:, None]) & (document != PADDING)
    return (same & mask(query.order[:, :, None], key.order[:, None], causal))[:, None]
