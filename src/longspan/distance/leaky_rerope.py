"""Leaky ReRoPE: beyond a window, distances grow k times slower (k < 1: faster, which is InvLeaky ReRoPE).

    distance(r) = r                              |r| < w
                  (w + (|r| − w) / k) · sign(r)  |r| ≥ w               r = i − j

Source: Su 2023, "Transformer upgrade road 12: ReRoPE with unlimited extrapolation?", kexue.fm/archives/9708; k < 1:
Su 2023, "Transformer upgrade road 13: using Leaky ReRoPE in reverse", kexue.fm/archives/9728.
Differs from the paper: the article's code multiplies queries by max(1, log_L n) as well; here that is `log_length`.
"""

from dataclasses import dataclass, replace
from math import ceil, inf

import torch
from torch import Tensor

from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.position_map import Divide, Identity
from longspan.slots import Band, Branch, Distance


@dataclass(frozen=True)
class LeakyReRoPE(Distance):
    """Neutral: k = 1, or window ≥ length − 1.

    A model trained with k = 1 / (2 · expansion) and read with plain RoPE is InvLeaky ReRoPE.

    Arguments:
        window: w, tokens; between a quarter and a half of the trained length L works (left open: a quarter).
        k: tokens per unit of distance beyond the window (left open: the smallest whole number for which the largest
            distance, w + (length − 1 − w) / k, is at most L / 2).

    >>> LeakyReRoPE(window=4, k=2)(torch.tensor([3, 4, 9]), torch.tensor(0)).tolist()
    [3.0, 4.0, 6.5]
    """

    window: int | None = None
    k: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "window")
        self.require(self.k is None or self.k > 0, "k", "above 0")

    def fill(self, geometry: Geometry, length: int) -> "LeakyReRoPE":
        """The window is a quarter of the trained length, and k keeps distances within half of it, where left open.

        Errors: SchemeError where the given window leaves no room below half the trained length.
        """
        window = geometry.trained_length // 4 if self.window is None else self.window
        if self.k is not None:
            return replace(self, window=window)
        far = length - 1 - window
        room = geometry.trained_length / 2 - window
        if far > 0 >= room:
            raise SchemeError(
                f"leaky_rerope: no k keeps distances within half the trained length {geometry.trained_length} beyond a "
                f"window of {window}: give k, or a window below {geometry.trained_length / 2:g}"
            )
        return replace(self, window=window, k=float(ceil(far / room)) if far > 0 else 1.0)

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """r in the window, stretched beyond it; float64, because float32 cannot hold long fractional distances."""
        window, k = self.known(self.window, "window"), self.known(self.k, "k")
        true = (query - key).double()
        return torch.where(true.abs() < window, true, (window + (true.abs() - window) / k) * true.sign())

    def branches(self) -> tuple[Branch, ...]:
        """Near pairs are rotated to their positions; far ones to p / k, and the later token to w − w / k more."""
        window, k = self.known(self.window, "window"), self.known(self.k, "k")

        slow, ahead = Divide(k), Divide(k, shift=window - window / k)
        return (
            Branch(Identity(), Identity(), Band(-window, window)),
            Branch(ahead, slow, Band(window, inf)),
            Branch(slow, ahead, Band(-inf, -window)),
        )

    def changes_nothing(self, length: int) -> bool:
        """Distances grow as they are, or no pair is farther apart than the window."""
        return self.k == 1 or (self.window is not None and self.window >= length - 1)
