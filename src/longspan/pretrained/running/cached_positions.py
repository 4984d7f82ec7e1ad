"""What a cache does not know about its own keys: the frame they were rotated to, and the positions of their tokens.

A pass takes the value off a cache when it starts, replaces it as it writes, and puts it back when it ends
(`forward_pass.py`). Meanwhile, and only then, a cache whose keys are in another frame than the plain model's lets
itself be updated: at all other times its `update` refuses (docs/decisions/0010).
"""

import weakref
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from longspan.errors import RefusalError
from longspan.pretrained.running.foresight import Foresight

ATTRIBUTE = "longspan_cached_positions"
"""The attribute of a cache that holds its `CachedPositions`."""


@dataclass(frozen=True, eq=False)
class CachedPositions:
    """The frame of a cache's keys and the positions of its tokens.

    Arguments:
        frame: how the keys were rotated; None where they are rotated as the plain model rotates them.
        positions: (1 or batch, slots), those that were written so far; None before the first write.
        foresight: what is known of the steps that filled the cache; None before the first one. (A compiled model makes
            this value, and torch.compile knows no default that is an object.)
    """

    frame: Any
    positions: Tensor | None = None
    foresight: Foresight | None = None

    def written(self, offset: int | Tensor, positions: Tensor) -> "CachedPositions":
        """Write the positions of the tokens in slots offset, offset + 1, …; what these and later slots held is lost.

        Errors: RefusalError where the slots before the offset were not written under this extension.
        """
        offset = int(offset)
        if offset == 0:
            return replace(self, positions=positions)
        known = self.positions
        if known is None or known.shape[1] < offset:
            raise RefusalError(
                f"the cache holds {offset} tokens, of which {0 if known is None else known.shape[1]} were read by "
                "this model with its present extension: start with an empty cache"
            )
        rows = max(known.shape[0], positions.shape[0])
        earlier = known[:, :offset].expand(rows, -1)
        return replace(self, positions=torch.cat([earlier, positions.expand(rows, -1)], 1))

    @property
    def rows(self) -> int:
        """The rows of the cache, as far as they differ; 1 where it does not matter which row is where."""
        if self.positions is not None and len(self.positions) > 1:
            return len(self.positions)
        return self.foresight.rows if self.foresight is not None and self.foresight.differs else 1

    def moved(self, rows: Tensor) -> "CachedPositions":
        """Return what is known when the cache holds these rows of before, in this order.

        Arguments:
            rows: (rows of now), on the CPU.
        """
        positions = self.positions
        if positions is not None and len(positions) > 1:
            positions = positions[rows]
        return replace(self, positions=positions, foresight=self.foresight and self.foresight.moved(rows))

    def at(self, slots: Tensor) -> Tensor:
        """Return the positions of the tokens in these slots; slots that wait for a token give any number."""
        assert self.positions is not None
        return self.positions[:, slots.clamp(max=self.positions.shape[1] - 1)]


@dataclass(frozen=True, eq=False)
class _Refusal:
    """Takes the place of `update` on a cache that the plain model cannot read.

    It is an attribute of the one cache, whose class stays what it is. It does not know the cache, so that copies and
    pickles of the cache refuse as well.

    Arguments:
        hidden: an `update` that somebody else had set on the cache; None where its class's own is in use.
    """

    hidden: Any = None

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise RefusalError(
            "this cache was filled by an extended model, and its keys were rotated in another frame than this model's: "
            "start with an empty cache"
        )


class _MovesRows:
    """Takes the place of a method that moves the rows of a cache, and moves what is known of them as well.

    It is an attribute of the one cache. It does not keep the cache, whose keys would wait for Python's collector of
    cycles otherwise; deep copies and pickles of the cache have their own.

    Arguments:
        name: of the method.
        hidden: a method that somebody else had set on the cache; None where its class's own is in use.
    """

    def __init__(self, cache: Any, name: str, hidden: Any = None) -> None:
        self._cache, self.name, self.hidden = weakref.ref(cache), name, hidden

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Move the rows.

        Errors: RefusalError for a shallow copy of a cache that is gone.
        """
        cache = self._cache()
        if cache is None:
            raise RefusalError("this cache is a shallow copy of one that is gone: use copy.deepcopy to copy a cache")
        known: CachedPositions = getattr(cache, ATTRIBUTE)
        method = getattr(type(cache), self.name).__get__(cache) if self.hidden is None else self.hidden
        method(*args, **kwargs)
        if known.rows > 1 and cache.get_seq_length() > 0:
            (given,) = (*args, *kwargs.values())
            setattr(cache, ATTRIBUTE, known.moved(ROW_METHODS[self.name](given, known.rows)))

    def __reduce__(self) -> tuple[type["_MovesRows"], tuple[Any, str, Any]]:
        """A copy belongs to the copy of its cache."""
        return _MovesRows, (self._cache(), self.name, self.hidden)


def _selected(given: Any, _: int) -> Tensor:
    rows = torch.as_tensor(given).cpu()
    return rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows


def _repeated(given: int, rows: int) -> Tensor:
    return torch.arange(rows).repeat_interleave(given)


ROW_METHODS = {
    "reorder_cache": _selected,
    "batch_select_indices": _selected,
    "batch_repeat_interleave": _repeated,
}
"""The methods of a cache that move its rows, and which rows of before it holds then, by argument and number of rows."""


def take(cache: Any, frame: Any, pairwise: bool) -> CachedPositions:
    """Return what is known of a cache that a pass is going to read, and let the cache be updated.

    Arguments:
        cache: of transformers; None where the pass is given none.
        frame: the frame in which the pass caches its keys.
        pairwise: whether attention layers rotate, and therefore need the positions of all cached tokens.

    Errors: RefusalError where the cache holds keys in another frame, or tokens whose positions nobody wrote down.
    """
    known: CachedPositions | None = getattr(cache, ATTRIBUTE, None)
    if cache is not None and (known is None or known.frame != frame) and cache.get_seq_length() > 0:
        if known is not None:
            raise RefusalError(
                "this cache was filled under another extension: its keys were rotated in another frame; "
                "start with an empty cache"
            )
        if frame is not None or pairwise:
            why = "its keys were rotated in another frame" if frame is not None else "it noted no positions"
            raise RefusalError(
                f"this cache was filled by the model without the extension: {why}; start with an empty cache"
            )
    if cache is not None:
        _admit(cache)
    return CachedPositions(frame) if known is None else replace(known, frame=frame)


def put_back(cache: Any, known: CachedPositions) -> None:
    """Leave on a cache what is known of it now. In another frame than the plain model's it refuses to be updated."""
    setattr(cache, ATTRIBUTE, known)
    if known.frame is not None and _refusal_of(cache) is None:
        cache.update = _Refusal(vars(cache).get("update"))
    if (known.positions is not None and len(known.positions) > 1) or (known.foresight and known.foresight.facts):
        _follow_rows(cache)


@torch.compiler.disable  # a compiler does not know what a weak reference is
def _follow_rows(cache: Any) -> None:
    """Let what is known of a cache's rows follow them, whoever moves them."""
    for name in ROW_METHODS:
        hidden = vars(cache).get(name)
        if hasattr(cache, name) and not isinstance(hidden, _MovesRows):
            setattr(cache, name, _MovesRows(cache, name, hidden))


def is_known(cache: Any) -> bool:
    """Return whether something was left on a cache."""
    return hasattr(cache, ATTRIBUTE)


def _admit(cache: Any) -> None:
    refusal = _refusal_of(cache)
    if refusal is not None:
        del cache.update
        if refusal.hidden is not None:
            cache.update = refusal.hidden


def _refusal_of(cache: Any) -> _Refusal | None:
    found = getattr(cache, "update", None)
    return found if isinstance(found, _Refusal) else None
