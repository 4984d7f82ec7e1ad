"""Axial: RoPE in the plane; some pairs rotate with the row, the others with the column.

    R(x, y) rotates pair i by x · θ_i or by y · θ_i

    split "groups":       x: pairs 0 … d/4−1, y: pairs d/4 … d/2−1, each with θ = b^(−4i/d), i = 0 … d/4−1
    split "interleaved":  θ_i = b^(−2i/d) as in one dimension; x: i even, y: i odd, so that R(n, n) is RoPE at n

Source: Su 2021, "Transformer upgrade road 4: rotary encoding in two dimensions", kexue.fm/archives/8397 (groups); Su
2024, "road 17: simple thoughts on multimodal positions", kexue.fm/archives/10040 (interleaved).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from longspan.errors import SchemeError
from longspan.slots import RotaryEmbedding, geometric


@dataclass(frozen=True)
class Axial(RotaryEmbedding):
    """Neutral: none.

    Arguments:
        split: "groups" for images; "interleaved" for text with images, where text token n has the position (n, n).

    >>> Axial(theta=10000).frequencies(8).tolist()
    [1.0, 0.01, 1.0, 0.01]
    """

    num_axes: ClassVar[int] = 2
    split: Literal["groups", "interleaved"] = "groups"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.split in ("groups", "interleaved"), "split", "'groups' or 'interleaved'")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """Fastest first, on each axis."""
        if rotary_dim % 4:
            raise SchemeError(
                f"axial gives half the pairs to each axis: {rotary_dim} channels that rotate are not a multiple of 4"
            )
        if self.split == "groups":
            return geometric(self.theta, rotary_dim // 2).repeat(2)
        return geometric(self.theta, rotary_dim)

    def axes(self, rotary_dim: int) -> Int64[Tensor, " pairs"]:
        """The first half of the pairs and the second, or even pairs and odd ones."""
        pair = torch.arange(rotary_dim // 2)
        return 4 * pair // rotary_dim if self.split == "groups" else pair % 2
