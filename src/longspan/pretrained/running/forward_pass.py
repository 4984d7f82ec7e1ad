"""The forward passes of an extended model: the positions each was given, and those of the tokens in its cache.

`ForwardPasses` is the one owner of what a pass knows. Hooks begin and end passes and hand them positions (`hooks.py`);
masks ask them where queries and keys are (`mask.py`).
"""

import threading
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from longspan.errors import RefusalError
from longspan.pretrained.running.cached_positions import CachedPositions, is_known, put_back, take
from longspan.pretrained.running.foresight import DEVICES, Foresight, Law, one_further, same


@dataclass(frozen=True, eq=False)
class CallerArguments:
    """What a model was given about positions.

    Arguments:
        explicit: whether it was given positions. Otherwise tokens are counted, padding left out, so that a padded row
            is read as it would be alone.
        padding: (batch, slots), which slots of the cache hold a token; None where all do.
        outer: what the call around this one was given; None where there is none.
        documents: (batch, tokens), the number of each token's document, where an encoder is given packed ones.
    """

    explicit: bool
    padding: Tensor | None
    outer: "CallerArguments | None" = None
    documents: Tensor | None = None


@dataclass
class Counting:
    """What was seen of how a model counts tokens.

    Arguments:
        seen: whether the model, given no positions, was seen to count on from the slots of a cache. From then on its
            positions are not read off a GPU, for which every step would wait.
        surprised: whether a step was given something else than was foreseen, and it mattered: nothing is foreseen then.
    """

    seen: bool = False
    surprised: bool = False


class ForwardPass:
    """One forward pass of the text model.

    Arguments:
        cached: what is known of the cache that it reads, or of the one that it makes.
        pairwise: whether attention layers rotate queries and keys, and must know the position of each.
        given: what the caller gave.
        counting: what was seen of the model.
        made_up: whether a wrapper of the text model made up positions that its caller did not give.
        slots: of the cache that are filled; None where only the device knows, and where the pass is compiled.
    """

    def __init__(
        self, cached: CachedPositions, pairwise: bool, given: CallerArguments, counting: Counting,
        *, made_up: bool = False, slots: int | None = None,
    ) -> None:  # fmt: skip
        self.cached, self.pairwise, self.given, self.made_up = cached, pairwise, given, made_up
        self.counting, self.slots = counting, slots
        self.positions: Tensor | None = None
        self.states: dict[Any, Any] = {}
        """What the cache holds in the place of keys, for the attention modules that are about to be called."""
        self._written = self._begun = False
        self._spoiled: Tensor | None = None

    def begin(self, slots: int | Tensor, more: int) -> None:
        """Begin to read so many tokens behind so many filled slots of the cache, once, whoever says so first.

        Errors: RefusalError where an earlier step was given something else than was foreseen.
        """
        if self._begun:
            return
        self._begun = True
        known = slots if isinstance(slots, int) and not self.counting.surprised else None
        try:
            foresight = (self.cached.foresight or Foresight()).begun(known, more)
        except RefusalError:
            self.counting.surprised = True
            raise
        self.cached = replace(self.cached, foresight=foresight)

    def read(self, name: str, given: Tensor, law: Law) -> Tensor:
        """Return the numbers of a tensor that the pass was given on the CPU, foreseen by its law or read."""
        if given.device.type not in DEVICES:
            return given.cpu()
        padding = self.given.padding
        real = None if padding is None else (padding[:, -1] != 0).to(given.device)
        here, foresight = (self.cached.foresight or Foresight()).read(name, given, law, real)
        self.cached = replace(self.cached, foresight=foresight)
        return here

    def spoil(self, out: Tensor) -> Tensor:
        """Return an output with NaN in rows that were given something else than was foreseen.

        Arguments:
            out: (batch, …), of a layer; what layers get from it is NaN as well.
        """
        known = self.cached.foresight
        doubtful = None if known is None else known.doubtful
        if doubtful is None or doubtful is self._spoiled:
            return out
        self._spoiled, padding = doubtful, self.given.padding
        if padding is not None:
            doubtful = doubtful & (padding[:, -1] != 0).to(doubtful.device)
        return out.masked_fill(doubtful.reshape(-1, *[1] * (out.ndim - 1)), torch.nan)

    def note(self, given: Tensor) -> Tensor:
        """Note the positions that a rotary module was given; return the true ones in the same shape.

        Errors: RefusalError where the positions differ between axes (image or video tokens).
        """
        if given.ndim == 3:
            differ = (given != given[:1]).any(0).any(1)
            if self.slots is not None:
                self.begin(self.slots, given.shape[2])
                differ = self.read("axes", differ, same)
            if differ.any():
                raise RefusalError(
                    "positions on several axes (image or video tokens) are not extended: give text alone"
                )
            return self.note(given[0]).expand(given.shape[0], -1, -1)
        true = self._true(given)
        if self.positions is None:
            self.positions = true[None] if true.ndim == 1 else true
        return true

    def _true(self, given: Tensor) -> Tensor:
        padding = self.given.padding
        if self.given.explicit or padding is None:
            return given
        before = padding.long().cumsum(1) - padding.long()
        if self.made_up:  # a wrapper gives whatever it likes
            return before[:, -given.shape[1] :]
        return before.gather(1, given.long().expand(before.shape[0], -1))  # the model gives the slots

    def counted_from_first(self, true: Tensor) -> Tensor | None:
        """Return true positions as a rotary module takes them; None for the positions that it was given.

        Tokens are counted from the slot of the first one of their row, so that a cache behind left padding remains the
        plain model's own.
        """
        padding = self.given.padding
        if self.given.explicit or padding is None:
            return None
        return true + padding.long().argmax(1, keepdim=True).to(true.device)

    def positions_of(self, offset: int | Tensor, slots: Tensor, counted: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of the queries, and those of the keys in these slots of the cache, on the CPU.

        Arguments:
            offset: the slot of the first query.
            counted: (batch, slots), how many real tokens come before each key.
            rows: which of the keys are the queries' own.

        Errors: RefusalError where the model attends before its rotary module is called, and where earlier tokens of
        the cache were read without this extension.
        """
        if not self.pairwise:  # nothing is left to rotate, and the plain model may have filled the cache
            return counted[:, rows], counted
        if self.positions is None:
            raise RefusalError("this model attended before its rotary module was given any positions")
        if not self._written:  # once, although several masks ask
            self.positions = self._on_cpu(offset, counted[:, rows])
            self.cached, self._written = self.cached.written(offset, self.positions), True
        return self.positions, self.cached.at(slots)

    def _on_cpu(self, offset: int | Tensor, counted: Tensor) -> Tensor:
        """Return the positions of the queries on the CPU; `counted` are those of a model that counts slots."""
        assert self.positions is not None
        itself = not self.given.explicit and not self.made_up and isinstance(offset, int) and offset > 0
        if itself and self.counting.seen:
            return counted
        found = self.read("positions", self.positions, one_further)
        self.counting.seen |= itself and bool((found == counted).all())
        return found


class ForwardPasses(threading.local):
    """The pass that an extended model is in, shared by its hooks and its attention layers.

    Each thread that calls the model is in a pass of its own. `current` remains set after its pass, because gradient
    checkpointing calls layers again in the backward pass. When a pass inside another one ends, the outer one is current
    again.

    Arguments:
        frame: the frame in which keys are cached; None where it is the plain model's own.
        pairwise: whether attention layers rotate queries and keys.
    """

    def __init__(self, frame: Any, pairwise: bool) -> None:
        self.frame, self.pairwise, self.counting = frame, pairwise, Counting()
        self.current: ForwardPass | None = None
        self._caller: CallerArguments | None = None
        self._open: list[tuple[ForwardPass, Any] | None] = []

    def __reduce__(self) -> tuple[type["ForwardPasses"], tuple[Any, bool]]:
        """A copy of a model is in no pass."""
        return ForwardPasses, (self.frame, self.pairwise)

    @property
    def called(self) -> bool:
        """Whether a call of the whole model has begun and not ended, or was interrupted: torch runs no hooks then."""
        return self._caller is not None

    @property
    def open(self) -> bool:
        """The same for passes."""
        return bool(self._open)

    def keep_calls(self, running: int) -> None:
        """Forget all but the outermost calls of the model, of which so many are running: Ctrl-C ended the others."""
        callers = []
        while self._caller is not None:
            callers.append(self._caller)
            self._caller = self._caller.outer
        kept = callers[::-1][:running]
        self._caller = kept[-1] if kept else None

    def keep_open(self, running: int) -> None:
        """Do the same for passes, and let go of the caches that the others read."""
        del self._open[running:]

    def begin_call(self, explicit: bool, padding: Tensor | None) -> None:
        """Begin a call of the whole model, which wraps the text model."""
        self._caller = CallerArguments(explicit, padding, self._caller)

    def end_call(self) -> None:
        """End it, whether it returned or failed."""
        self._caller = None if self._caller is None else self._caller.outer

    def begin(self, cache: Any, explicit: bool, padding: Tensor | None, documents: Tensor | None = None) -> None:
        """Begin a forward pass that reads this cache.

        Arguments:
            explicit, padding, documents: as of `CallerArguments`.

        Errors: RefusalError for a cache that was filled in another frame, or without noting positions.
        """
        self._open.append(None)  # before anything can fail: `end` follows also then
        cached = take(cache, self.frame, self.pairwise)
        caller, slots = self._caller, _filled_slots(cache)
        if explicit and caller is not None and not caller.explicit:
            started = ForwardPass(cached, self.pairwise, caller, self.counting, made_up=True, slots=slots)
        else:
            given = CallerArguments(explicit, padding, documents=documents)
            started = ForwardPass(cached, self.pairwise, given, self.counting, slots=slots)
        self._open[-1] = started, cache
        self.current = started

    def end(self, returned: Any) -> None:
        """End the innermost pass; it returned this cache, or None, or failed."""
        ended = self._open.pop() if self._open else None
        if ended is not None:
            done, cache = ended
            if cache is not None:
                put_back(cache, done.cached)
            if returned is not None and not is_known(returned):
                put_back(returned, done.cached)
        if self._open and self._open[-1] is not None:
            self.current = self._open[-1][0]


def _filled_slots(cache: Any) -> int | None:
    """The number of filled slots; None where a static cache counts them on the device."""
    if torch.compiler.is_compiling():
        return None
    found = 0 if cache is None else cache.get_seq_length()
    return found if isinstance(found, int) else None
