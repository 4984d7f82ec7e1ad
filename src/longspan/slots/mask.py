"""The slots `direction` and `mask`: which keys does a query see?"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from longspan.slots.part import Part


@dataclass(frozen=True)
class Direction(Part):
    """Does a query see the tokens after it?"""

    slot: ClassVar[str] = "direction"
    causal: ClassVar[bool]


@dataclass(frozen=True)
class Mask(Part):
    """Which keys does a query see? One interval of orders, and the document's first tokens.

    Arguments:
        sinks: tokens at the start of the document that every query sees.
    """

    slot: ClassVar[str] = "mask"
    sinks: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sinks >= 0, "sinks", "at least 0")

    @abstractmethod
    def interval(self, order: Int64[Tensor, "..."], causal: bool) -> tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]:
        """First key and one past the last key that a query sees, without the sinks; neither falls as `order` grows."""

    def __call__(self, query: Tensor, key: Tensor, causal: bool) -> Bool[Tensor, "..."]:
        """Which pairs of orders exist; broadcasts."""
        start, stop = self.interval(query, causal)
        keep = ((key >= start) & (key < stop)) | (key < self.sinks)
        return keep & (key <= query) if causal else keep

    def count(self, order: Int64[Tensor, "..."], length: Int64[Tensor, "..."], causal: bool) -> Int64[Tensor, "..."]:
        """How many keys a query at `order` sees in a document of `length` tokens."""
        start, stop = self.interval(order, causal)
        end = torch.minimum(length, order + 1) if causal else length
        start = torch.minimum(start.clamp(min=0), end)
        stop = torch.maximum(torch.minimum(stop, end), start)
        below, above = start.clamp(max=self.sinks), (torch.clamp(end, max=self.sinks) - stop).clamp(min=0)
        return stop - start + below + above

    @property
    def shift_period(self) -> int | None:
        """With sinks every shift matters: it makes other tokens the sinks."""
        return None if self.sinks else 1
