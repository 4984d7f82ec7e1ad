"""ReRoPE: all distances beyond a window are read as the window.

    distance(r) = r               |r| < w
                  w · sign(r)     |r| ≥ w               r = i − j

Source: Su 2023, "Transformer upgrade road 12: ReRoPE with unlimited extrapolation?", kexue.fm/archives/9708.
Differs from the paper: the article's code multiplies queries by max(1, log_L n) as well; here that is `log_length`.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

from torch import Tensor

from longspan.geometry import Geometry
from longspan.position_map import ZERO, Constant, Identity
from longspan.slots import Band, Branch, Distance


@dataclass(frozen=True)
class ReRoPE(Distance):
    """Neutral: window ≥ length.

    Arguments:
        window: w, tokens; between a quarter and a half of the trained length works (left open: a quarter).

    >>> import torch
    >>> ReRoPE(window=4)(torch.tensor([3, 4, 9]), torch.tensor(0)).tolist()
    [3, 4, 4]
    """

    far_alike: ClassVar[bool] = True

    window: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "window")

    def fill(self, geometry: Geometry, length: int) -> "ReRoPE":
        """The window is a quarter of the trained length where left open."""
        return replace(self, window=geometry.trained_length // 4) if self.window is None else self

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """r, clipped to ± window."""
        window = self.known(self.window, "window")
        return (query - key).clamp(-window, window)

    def branches(self) -> tuple[Branch, ...]:
        """Near pairs are rotated to their positions; of far ones only the later token is rotated, to the window."""
        window = self.known(self.window, "window")
        return (
            Branch(Identity(), Identity(), Band(-window, window)),
            Branch(Constant(window), ZERO, Band(window, inf)),
            Branch(ZERO, Constant(window), Band(-inf, -window)),
        )

    def changes_nothing(self, length: int) -> bool:
        """No pair is farther apart than the window."""
        return self.window is not None and self.window >= length - 1
