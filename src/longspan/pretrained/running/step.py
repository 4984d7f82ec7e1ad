"""One forward pass after another: the positions it was given, and those of every token in its cache."""

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from longspan.errors import RefusalError
from longspan.memo import remember

RECORD = "longspan_record"


class Record:
    """What a cache does not know about its own keys: the frame they were turned in, and where their tokens stand."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.coordinates: Tensor | None = None
        self.reading = False

    def keep(self, cache: Any) -> None:
        """Ride on a cache. One whose keys are in another frame than the plain model's refuses that model."""
        setattr(cache, RECORD, self)
        if self.frame is not None:
            cache.__class__ = _guarded(type(cache))

    def write(self, offset: int | Tensor, positions: Tensor) -> None:
        """Tokens at slots offset, offset + 1, … stand at `positions`; what stood there or beyond is forgotten."""
        offset = int(offset)
        if offset == 0:
            self.coordinates = positions
            return
        known = self.coordinates
        if known is None or known.shape[1] < offset:
            raise RefusalError(
                f"the cache holds {offset} tokens, of which {0 if known is None else known.shape[1]} were read by "
                "this model as it is extended now: start with an empty cache"
            )
        rows = max(known.shape[0], positions.shape[0])
        self.coordinates = torch.cat([known[:, :offset].expand(rows, -1), positions.expand(rows, -1)], 1)

    def read(self, slots: Tensor) -> Tensor:
        """Where the tokens in these slots stand; zero where nothing was written."""
        known = self.coordinates
        assert known is not None
        return known[:, slots.clamp(max=known.shape[1] - 1)]


class Step:
    """One forward pass.

    Arguments:
        record: of the cache it reads, or of the one that it makes.
        pairwise: whether attention turns queries and keys, and must know where each of them stands.
        explicit: whether the caller gave positions. Tokens are counted otherwise, padding left out, so that a padded
            row is read as it would be alone.
        padding: (batch, slots), which slots of the cache hold a token; None where all do.
    """

    def __init__(
        self, record: Record, pairwise: bool, explicit: bool, padding: Tensor | None, made_up: bool = False
    ) -> None:
        self.record, self.pairwise, self.explicit, self.padding = record, pairwise, explicit, padding
        self.made_up = made_up
        self.first = None if explicit or padding is None else padding.long().argmax(1, keepdim=True)
        self.positions: Tensor | None = None
        self.written = False

    def note(self, given: Tensor) -> Tensor:
        """The rotary module was given these positions; where the tokens truly stand, in the same form."""
        if given.ndim == 3:
            if (given != given[:1]).any():
                raise RefusalError(
                    "positions on several axes (image or video tokens) are not extended: give text alone"
                )
            return self.note(given[0]).expand(given.shape[0], -1, -1)
        true = given
        if not self.explicit and self.padding is not None:  # the model gave the slots, a wrapper whatever it likes
            before = self.padding.long().cumsum(1) - self.padding.long()
            if self.made_up:
                true = before[:, -given.shape[1] :]
            else:
                true = before.gather(1, given.long().expand(before.shape[0], -1))
        if self.positions is None:
            self.positions = true[None] if true.ndim == 1 else true
        return true

    def counted_from_first(self, true: Tensor) -> Tensor | None:
        """What a rotary module takes for true positions; None for what it was given.

        Tokens are counted from the slot of the first one of their row, so that a cache behind left padding remains the
        plain model's own.
        """
        return None if self.first is None else true + self.first.to(true.device)

    def coordinates(self, offset: int | Tensor, slots: Tensor, counted: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the queries stand, and where the keys in these slots stand.

        Arguments:
            counted: how many real tokens come before each key.
            rows: which of the keys are the queries' own.
        """
        if not self.pairwise:  # all turning is done, and the plain model may have filled the cache
            return counted[:, rows], counted
        positions = self.positions
        if positions is None:
            raise RefusalError("this model attended before its rotary module was told any positions")
        if not self.written:
            self.record.write(offset, positions)
            self.written = True
        return positions, self.record.read(slots)


@dataclass(frozen=True)
class Called:
    """What the caller of the whole model said; a wrapper of the text model makes up positions where he gave none.

    Arguments:
        explicit: whether he gave positions.
        padding: which tokens are real, by his mask.
        outer: the call that this one is part of.
    """

    explicit: bool
    padding: Tensor | None
    outer: "Called | None" = None


class Steps(threading.local):
    """The step that an extended model is in; shared by its hooks and its attention layers.

    Each thread that calls the model is in a step of its own. A step outlives its forward pass, because gradient
    checkpointing calls layers again in the backward pass; a pass inside another one gives way to it when it ends.

    Arguments:
        frame: in which frame keys are cached; None where it is the plain model's own.
        pairwise: whether attention turns queries and keys.
    """

    def __init__(self, frame: Any, pairwise: bool) -> None:
        self.frame, self.pairwise = frame, pairwise
        self.now: Step | None = None
        self.called: Called | None = None
        self._outer: list[Step | None] = []

    def __reduce__(self) -> tuple[type["Steps"], tuple[Any, bool]]:
        """A copy of a model is in no step."""
        return Steps, (self.frame, self.pairwise)

    def call(self, explicit: bool, padding: Tensor | None) -> None:
        """A call of the whole model starts."""
        self.called = Called(explicit, padding, self.called)

    def hang_up(self) -> None:
        """It ended, or failed."""
        self.called = None if self.called is None else self.called.outer

    def begin(self, cache: Any, explicit: bool, padding: Tensor | None) -> None:
        """A forward pass starts with this cache."""
        self._outer.append(self.now)  # first of all: `end` follows also where this fails
        record = getattr(cache, RECORD, None)
        if record is None:
            if (self.frame is not None or self.pairwise) and cache is not None and _holds_tokens(cache):
                why = "its keys stand in another frame" if self.frame is not None else "it noted no positions"
                raise RefusalError(
                    f"this cache was filled by the model without the extension: {why}; start with an empty cache"
                )
            record = Record(self.frame)
            if cache is not None:
                record.keep(cache)
        elif record.frame != self.frame and _holds_tokens(cache):
            raise RefusalError(
                "this cache was filled under another extension: its keys stand in another frame; "
                "start with an empty cache"
            )
        else:
            record.frame = self.frame
            if self.frame is not None:
                record.keep(cache)
        record.reading = True
        if explicit and self.called is not None and not self.called.explicit:
            self.now = Step(record, self.pairwise, False, self.called.padding, made_up=True)
        else:
            self.now = Step(record, self.pairwise, explicit, padding)

    def note(self, given: Tensor) -> Tensor:
        """As of the step."""
        return given if self.now is None else self.now.note(given)

    def counted_from_first(self, true: Tensor) -> Tensor | None:
        """As of the step."""
        return None if self.now is None else self.now.counted_from_first(true)

    def end(self, cache: Any) -> None:
        """A forward pass returned this cache, or failed."""
        if self.now is not None:
            self.now.record.reading = False
            if cache is not None and getattr(cache, RECORD, None) is None:
                self.now.record.keep(cache)
        outer = self._outer.pop() if self._outer else None
        if self._outer:
            self.now = outer


class _Guarded:
    """Mixed into the class of a cache whose keys no plain model can read."""

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """As the cache does it, for the model that filled it."""
        record: Record | None = getattr(self, RECORD, None)
        if record is not None and record.frame is not None and not record.reading:
            raise RefusalError(
                "this cache was filled by an extended model, and its keys stand in another frame than this model's: "
                "start with an empty cache"
            )
        return super().update(*args, **kwargs)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@remember(None)
def _guarded(kind: type) -> type:
    return kind if issubclass(kind, _Guarded) else type(kind.__name__, (_Guarded, kind), {})


def _holds_tokens(cache: Any) -> bool:
    return bool(cache.get_seq_length() > 0)
