"""What a decoding step is given on a GPU, foreseen on the CPU, so that no step waits for numbers to come back.

Every step is given its padding and, by `generate`, its positions, as tensors on the device. They follow a law, which
was the same in the last step:

    padding         that of the step before, and one more token
    positions       one more than in the step before
    mask functions  the tensors that they hold are those of the step before

A tensor that once was read and found to follow its law is foreseen from then on. The device compares what it was given
with what was foreseen, row by row and without anybody who waits: a row that differs gets NaN, so that no number of a
wrong position or mask comes out. What the device found arrives while later steps run. Where only the new token was
padding, whose output nobody reads, tensors are read again until they follow their law; else the cache is refused
(docs/decisions/0034).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import CellType, FunctionType, MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longspan.errors import RefusalError

DEVICES = ("cuda",)
"""Types of devices whose numbers can be sent to the CPU while it goes on; tensors on others are read."""

Law = Callable[[Tensor], Tensor]
"""From a tensor of one step to that of the next."""


class Fact(NamedTuple):
    """A tensor that a step was given.

    Arguments:
        here, there: its numbers on the CPU and on the device.
        lawful: whether it was what its law makes of the one before.
    """

    here: Tensor
    there: Tensor
    lawful: bool


class Arriving:
    """Numbers on their way from a device to the CPU."""

    def __init__(self, numbers: Tensor) -> None:
        self._numbers = numbers.to("cpu", non_blocking=True)
        self._sent = torch.cuda.Event() if numbers.is_cuda else None
        if self._sent is not None:
            self._sent.record(torch.cuda.current_stream(numbers.device))

    def get(self) -> Tensor | None:
        """Return the numbers; None where they are still on their way."""
        return self._numbers if self._sent is None or self._sent.query() else None

    def wait(self) -> Tensor:
        """Return the numbers when they are here."""
        if self._sent is not None:
            self._sent.synchronize()
        return self._numbers

    def __reduce__(self) -> tuple[type["Arriving"], tuple[Tensor]]:
        """A copy has arrived."""
        return Arriving, (self.wait(),)


@dataclass(frozen=True, eq=False)
class Foresight:
    """What is known of the steps that filled a cache.

    Arguments:
        slots: of the cache, filled so far; None where nothing is known.
        facts: tensors of the last step by name.
        doubtful: (rows), whether a row was given something else than was foreseen; None where nothing was foreseen.
        reports: what the device found: whether some row was given something else, and whether it matters.
    """

    slots: int | None = None
    facts: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}))
    doubtful: Tensor | None = None
    reports: tuple[Arriving, ...] = ()

    def __reduce__(self) -> tuple[type["Foresight"], tuple[Any, ...]]:
        """A copy of a cache reads everything once more, and keeps what was reported."""
        return Foresight, (None, {}, self.doubtful, self.reports)

    def begun(self, slots: int | None, more: int) -> "Foresight":
        """Return what is known when a step of so many tokens comes to so many filled slots.

        Errors: RefusalError where an earlier step was given something else than was foreseen, and it mattered.
        """
        after = None if slots is None else slots + more
        unlawful = {name: fact._replace(lawful=False) for name, fact in self.facts.items()}
        if slots == 0:
            return Foresight(after, unlawful)
        follows = slots is not None and slots == self.slots and more == 1
        # A step that does not follow reads its tensors, and waits for the device in any case.
        found = [report.get() if follows else report.wait() for report in self.reports]
        if any(numbers is not None and bool(numbers[1]) for numbers in found):
            raise RefusalError(
                "an earlier step of this cache was given other padding or positions than those of the step before it "
                "and one token more; on a GPU this is noticed afterwards, and its output is NaN: start with an empty "
                "cache, with which this model reads padding and positions in every step"
            )
        waiting = tuple(report for report, numbers in zip(self.reports, found, strict=True) if numbers is None)
        if not follows or any(numbers is not None and bool(numbers[0]) for numbers in found):
            return Foresight(after, unlawful, reports=waiting)
        return replace(self, slots=after, reports=waiting)

    @property
    def differs(self) -> bool:
        """Whether rows were given different numbers, or some row is doubtful, so that it matters which row is where."""
        numbers = (fact.here for fact in self.facts.values() if fact.here.ndim)
        return self.doubtful is not None or any(bool((x != x[:1]).any()) for x in numbers)

    @property
    def rows(self) -> int:
        """The rows of the cache, as far as tensors show it."""
        return max((len(fact.here) for fact in self.facts.values() if fact.here.ndim > 1), default=1)

    def moved(self, rows: Tensor) -> "Foresight":
        """Return what is known when the cache holds these rows of before, in this order.

        Tensors are read once more, unless they are the same for all rows that changed places, as for beams of a prompt.

        Arguments:
            rows: (rows of now), on the CPU.
        """
        numbers = [fact.here for fact in self.facts.values() if fact.here.ndim and len(fact.here) > int(rows.max())]
        if all(torch.equal(x[rows], x) for x in numbers):
            doubtful = None if self.doubtful is None else self.doubtful[rows.to(self.doubtful.device)]
            return replace(self, doubtful=doubtful)
        return Foresight(reports=self.reports)

    def read(self, name: str, given: Tensor, law: Law, real: Tensor | None) -> tuple[Tensor, "Foresight"]:
        """Return the numbers of a tensor on the CPU, foreseen or read, and what is known then.

        Arguments:
            law: what follows from the tensor of the step before.
            real: (rows), whether the newest token of each row is no padding; None where no token is.
        """
        last, there = self.facts.get(name), given.clone()  # whoever gave it may write into it
        foreseen = None if last is None else law(last.here)
        if foreseen is not None and foreseen.shape != given.shape:
            foreseen = None
        if last is None or foreseen is None or not last.lawful:
            here = given.cpu()
            lawful = foreseen is not None and torch.equal(here, foreseen.to(here.dtype))
            return here, replace(self, facts={**self.facts, name: Fact(here, there, lawful)})
        differs = (given != law(last.there)).reshape(len(given) if given.ndim else 1, -1).any(1)
        doubtful = differs if self.doubtful is None else self.doubtful | differs
        matters = doubtful if real is None else doubtful & real
        report = Arriving(torch.stack([doubtful.any(), matters.any()]))
        facts = {**self.facts, name: Fact(foreseen, there, True)}
        return foreseen, replace(self, facts=facts, doubtful=doubtful, reports=(*self.reports, report))


def same(last: Tensor) -> Tensor:
    """Return the same tensor: the law of numbers that stay."""
    return last


def one_token_more(padding: Tensor) -> Tensor:
    """Return a mask of (rows, slots) with one more token."""
    return torch.cat([padding, torch.ones_like(padding[:, :1])], 1)


def one_further(positions: Tensor) -> Tensor:
    """Return the position after the last one, along the last axis."""
    return positions[..., -1:] + 1


def function_here(function: Any, read: Callable[[str, Tensor], Tensor], name: str = "") -> Any:
    """Return a mask function that computes on the CPU; None for one whose parts are not known.

    Arguments:
        read: gives the numbers of a tensor on the CPU, by a name and the tensor.
    """
    if not isinstance(function, FunctionType):
        return None
    cells = [_cell_here(cell.cell_contents, read, f"{name} {i}") for i, cell in enumerate(function.__closure__ or ())]
    if any(cell is None for cell in cells):
        return None
    closure = tuple(CellType(cell[0]) for cell in cells if cell is not None)
    return FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, closure)


def _cell_here(content: Any, read: Callable[[str, Tensor], Tensor], name: str) -> tuple[Any] | None:
    """What a function holds, on the CPU, alone in a tuple; None for what is not known."""
    if isinstance(content, Tensor):
        return (read(name, content),)
    if isinstance(content, FunctionType):
        function = function_here(content, read, name)
        return None if function is None else (function,)
    if isinstance(content, tuple | list):
        parts = [_cell_here(part, read, f"{name} {i}") for i, part in enumerate(content)]
        return None if any(part is None for part in parts) else (tuple(part[0] for part in parts if part is not None),)
    return (content,) if content is None or isinstance(content, int | float | str) else None
