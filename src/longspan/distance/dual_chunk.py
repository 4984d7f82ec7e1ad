"""Dual chunk attention: keys have their position inside their chunk, and queries one of at most c.

    distance(i, j) = i mod t − j mod t                     ⌊i/t⌋ = ⌊j/t⌋          the same chunk
                     min(t + i mod t, c) − j mod t         ⌊i/t⌋ = ⌊j/t⌋ + 1      the previous chunk
                     c − j mod t                           ⌊i/t⌋ ≥ ⌊j/t⌋ + 2      earlier chunks
    t = c − l: so the last l tokens of the previous chunk are at their true distance for every query

Source: An et al. 2024, "Training-Free Long-Context Scaling of Large Language Models", arXiv:2402.17463; authors' code:
github.com/HKUNLP/ChunkLlama.
Differs from the paper: the largest position is c, as in the authors' code; the paper has c − 1. For earlier chunks the
code rotates the query to min(2t − 1, c), which is below c where l ≥ c / 2. Beyond the trained length L the code also
multiplies queries and keys by 0.05 · ln(N / L) + 1, which the paper's results leave out; add
`log_length(form=gain)` for it.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from longspan.geometry import Geometry
from longspan.position_map import Constant, Modulo
from longspan.slots import Band, Branch, Distance


@dataclass(frozen=True)
class DualChunk(Distance):
    """Neutral: chunk − local ≥ length.

    Arguments:
        chunk: c, the largest position (left open: three quarters of the trained length).
        local: l, tokens before a chunk that stay at their true distance (left open: an eighth of the trained length, at
            most half of the chunk).

    >>> DualChunk(chunk=6, local=2)(torch.tensor(9), torch.arange(10)).tolist()
    [6, 5, 4, 3, 5, 4, 3, 2, 1, 0]
    """

    causal_only: ClassVar[bool] = True
    chunk: int | None = None
    local: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "chunk")
        self.require_at_least(0, "local")
        if self.chunk is not None and self.local is not None:
            self.require(self.local < self.chunk, "local", f"below chunk = {self.chunk}")

    def fill(self, geometry: Geometry, length: int) -> "DualChunk":
        """Three quarters and an eighth of the trained length where left open; a small chunk has a smaller `local`."""
        chunk = 3 * geometry.trained_length // 4 if self.chunk is None else self.chunk
        known = {"chunk": chunk, "local": min(geometry.trained_length // 8, chunk // 2)}
        return replace(self, **{name: known[name] for name in self.open_fields()})

    @property
    def period(self) -> int:
        """t, the tokens per chunk."""
        return self.known(self.chunk, "chunk") - self.known(self.local, "local")

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """One rule for pairs in the same chunk, in neighboring chunks, and farther apart."""
        chunk, period = self.known(self.chunk, "chunk"), self.period
        apart = query // period - key // period
        within = query % period
        mapped = torch.where(apart < 1, within, torch.where(apart < 2, (within + period).clamp(max=chunk), chunk))
        return mapped - key % period

    def branches(self) -> tuple[Branch, ...]:
        """Keys are always rotated to their position in the chunk, queries to one of three positions."""
        chunk, period = self.known(self.chunk, "chunk"), self.period

        within = Modulo(period)
        return (
            Branch(within, within, Band(-inf, 1, period)),
            Branch(Modulo(period, shift=period, limit=chunk), within, Band(1, 2, period)),
            Branch(Constant(chunk), within, Band(2, inf, period)),
        )

    @property
    def shift_period(self) -> int | None:
        """A shift by whole chunks changes nothing."""
        return self.period

    def changes_nothing(self, length: int) -> bool:
        """All tokens are in the first chunk."""
        return not self.open_fields() and self.period >= length
