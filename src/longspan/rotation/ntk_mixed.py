"""NTK-mixed: each digit of the position has a base of its own, so that the stretch is shared out unevenly.

    θ'_i = θ_i / (λ_1 λ_2 … λ_j)     λ_1 λ_2 … λ_j = exp(a · j^c) = s^((2j/d)^c)       j = i + 1 = 1 … d/2

c = 1 is `ntk(variant="fixed")`; c = 0 is `linear`.

Source: Su 2023, "Transformer upgrade road 11: taking β-ary positions to the end", kexue.fm/archives/9706 (c = 0.625 for
a model trained at 512 and read at eight times that); github.com/bojone/rerope, ntk_patch.py, uses c = 0.75 for Llama 2
at twelve times.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class NTKMixed(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry).
        exponent: c, how the stretch is shared out: 0 evenly over all pairs, 1 in proportion to the pair's number.

    >>> NTKMixed(factor=16, exponent=1, theta=16).frequencies(4).tolist()
    [0.25, 0.015625]
    """

    factor: float | None = None
    exponent: float = 0.625

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")
        self.require_at_least(0, "exponent")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """The slowest pair is slower by the whole factor, each other one by its share."""
        digit = torch.arange(1, rotary_dim // 2 + 1, dtype=torch.float64)
        share = (digit / max(self.rotating(rotary_dim), 1)) ** self.exponent
        return self.original(rotary_dim) * self.known(self.factor, "factor") ** -share

    def changes_nothing(self, length: int) -> bool:
        """Nothing is shared out."""
        return self.factor == 1
