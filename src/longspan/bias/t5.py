"""T5 bias: a learned number per head and bucket of distances, buckets growing with the distance.

    bias_h(r) = table[bucket(|r|), h]
    bucket(ν) = ν                                                                    ν < e
                min( b − 1, e + ⌊ (b − e) · ln(ν/e) / ln(max_distance/e) ⌋ )         ν ≥ e,  e = ⌊b/2⌋

b is the number of buckets of one side: all of them for "past" (later keys fall into bucket 0), half of them for "both"
(the second half belongs to the keys after the query).

Source: Raffel et al. 2019, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
arXiv:1910.10683, section 2.1; buckets as in the authors' code.
Differs from the paper: the table starts at zero, not at random.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.scale.unscaled import Unscaled
from longspan.slots import ScoreBias, Weights


@dataclass(frozen=True)
class T5(ScoreBias):
    """Neutral: a table of zeros (which still brings `unscaled`).

    Arguments:
        buckets: rows of the table.
        max_distance: tokens; all distances from here on share the last bucket.
        sides: "past" for causal attention, "both" to tell keys before the query from keys after it.

    >>> T5().bucket(torch.tensor([0, 15, 17, 20, 1000])).tolist()
    [0, 15, 16, 17, 31]
    """

    buckets: int = 32
    max_distance: int = 128
    sides: Literal["past", "both"] = "past"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sides in ("past", "both"), "sides", "'past' or 'both'")
        least = 2 if self.sides == "past" else 4
        self.require(self.buckets >= least, "buckets", f"at least {least} for sides={self.sides!r}")
        exact = self._per_side // 2
        self.require(self.max_distance > exact, "max_distance", f"above {exact}, the distances with own buckets")

    @property
    def _per_side(self) -> int:
        return self.buckets if self.sides == "past" else self.buckets // 2

    def bucket(self, relative: Tensor) -> Int64[Tensor, "..."]:
        """The row of the table for relative = i − j; distances between whole numbers count as the one below."""
        count = self._per_side
        exact = count // 2
        distance = (relative.clamp(min=0) if self.sides == "past" else relative.abs()).long()
        # float32, as in the authors' code: the edges of the buckets depend on it
        growth = (distance.clamp(min=1).float() / exact).log() / log(self.max_distance / exact)
        grown = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
        bucket = torch.where(distance < exact, distance, grown)
        return bucket if self.sides == "past" else bucket + count * (relative < 0)

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """The bucket's number."""
        return weights["table"][self.bucket(relative), head]

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """A table of zeros."""
        return {"table": torch.zeros(self.buckets, num_heads)}

    def brings(self) -> Unscaled:
        """No 1/√d: T5's initial weights carry it."""
        return Unscaled()

    @property
    def constant_beyond(self) -> int:
        """The first distance in the last bucket of the past."""
        bucket = self.bucket(torch.arange(self.max_distance + 1))
        return int((bucket == self._per_side - 1).nonzero()[0])
