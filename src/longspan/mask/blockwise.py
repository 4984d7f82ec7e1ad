"""Blockwise causal attention (BCA): a query sees its own and the whole previous half-block.

    0 ≤ ⌊i/h⌋ − ⌊j/h⌋ ≤ 1  or  j < s        causal, h = l / 2
    |⌊i/h⌋ − ⌊j/h⌋| ≤ 1    or  j < s        bidirectional

Source: Sun et al. 2022, "A Length-Extrapolatable Transformer", arXiv:2212.10554, section 3.2.
Differs from the paper: sinks and the bidirectional form are ours; positions are not reset inside each block, which a
relative encoding cannot tell.
"""

from dataclasses import dataclass, replace

from jaxtyping import Int64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Mask


@dataclass(frozen=True)
class Blockwise(Mask):
    """Neutral: block ≥ length.

    Arguments:
        block: l, tokens, even; a query sees between l/2 + 1 and l keys (left open: the trained length, made even).
        sinks: s, tokens at the start of the document that every query sees.
    """

    block: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.block is None or (self.block >= 2 and self.block % 2 == 0), "block", "even and at least 2")

    def fill(self, geometry: Geometry, length: int) -> "Blockwise":
        """A block is the trained length, made even, where left open."""
        return replace(self, block=geometry.trained_length // 2 * 2) if self.block is None else self

    def interval(self, order: Int64[Tensor, "..."], causal: bool) -> tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]:
        """The own half-block and its neighbors."""
        half = self.known(self.block, "block") // 2
        start = order // half * half
        return start - half, order + 1 if causal else start + 2 * half

    @property
    def shift_period(self) -> int | None:
        """A shift by half-blocks changes nothing; sinks leave none free."""
        return None if self.sinks else self.known(self.block, "block") // 2

    def changes_nothing(self, length: int) -> bool:
        """All tokens are in the first two half-blocks."""
        return self.block is not None and self.block >= length
