"""Window: the last w tokens, the query itself included; with sinks, the document's first s tokens as well.

    0 ≤ i − j < w    or  j < s          causal
    |i − j| ≤ w      or  j < s          bidirectional

Source: Su 2023, "Transformer upgrade road 7: length extrapolation and local attention", kexue.fm/archives/9431;
sinks: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", arXiv:2309.17453.
"""

from dataclasses import dataclass, replace

from jaxtyping import Int64
from torch import Tensor

from longspan.geometry import Geometry
from longspan.slots import Mask


@dataclass(frozen=True)
class Window(Mask):
    """Neutral: size ≥ length.

    Arguments:
        size: w, tokens (left open: the trained length).
        sinks: s, tokens at the start of the document that every query sees.
    """

    size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "size")

    def fill(self, geometry: Geometry, length: int) -> "Window":
        """The window is the trained length where left open."""
        return replace(self, size=geometry.trained_length) if self.size is None else self

    def interval(self, order: Int64[Tensor, "..."], causal: bool) -> tuple[Int64[Tensor, "..."], Int64[Tensor, "..."]]:
        """The tokens within the window."""
        size = self.known(self.size, "size")
        return (order - size + 1, order + 1) if causal else (order - size, order + size + 1)

    def changes_nothing(self, length: int) -> bool:
        """No pair is farther apart than the window."""
        return self.size is not None and self.size >= length
