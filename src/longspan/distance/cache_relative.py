"""Cache-relative (StreamingLLM): distances inside a cache of s first and W − s last tokens, as if nothing lay between.

    distance(i, j) = i − j                            i − j < W − s         the recent tokens
                     min(i, W − 1) − min(j, s)        i − j ≥ W − s         the sinks
    an evicted token, which a query sees only without a window, is mapped to the gap: to index s

Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", arXiv:2309.17453, section 3.2.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from longspan.geometry import Geometry
from longspan.position_map import Clamp, Identity
from longspan.slots import Band, Branch, Distance


@dataclass(frozen=True)
class CacheRelative(Distance):
    """Neutral: size ≥ length. The recipe `streaming_llm` adds the mask that evicts.

    Arguments:
        sinks: s, tokens at the start of the document that stay in the cache.
        size: W, tokens in the cache, sinks and the query itself included (left open: the trained length).

    >>> CacheRelative(sinks=1, size=4)(torch.tensor(9), torch.tensor([0, 7, 8, 9])).tolist()
    [3, 2, 1, 0]
    """

    causal_only: ClassVar[bool] = True
    sinks: int = 4
    size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "sinks")
        self.require(self.size is None or self.size > self.sinks, "size", f"above sinks = {self.sinks}")

    def fill(self, geometry: Geometry, length: int) -> "CacheRelative":
        """The cache holds the trained length where left open."""
        return replace(self, size=geometry.trained_length) if self.size is None else self

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """i − j for recent keys; for others the difference of the indices inside the cache."""
        size = self.known(self.size, "size")
        true = query - key
        return torch.where(true < size - self.sinks, true, query.clamp(max=size - 1) - key.clamp(max=self.sinks))

    def branches(self) -> tuple[Branch, ...]:
        """Recent pairs are rotated to their positions; the others to their indices inside the cache."""
        size = self.known(self.size, "size")

        return (
            Branch(Identity(), Identity(), Band(-inf, size - self.sinks)),
            Branch(Clamp(size - 1), Clamp(self.sinks), Band(size - self.sinks, inf)),
        )

    @property
    def shift_period(self) -> int | None:
        """A shift moves the sinks to other tokens."""
        return None

    def changes_nothing(self, length: int) -> bool:
        """Nothing is evicted."""
        return self.size is not None and self.size >= length
