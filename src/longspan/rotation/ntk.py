"""NTK: a larger base; slow pairs are stretched like positions, fast pairs hardly at all.

    θ'_i = θ_i · s^(−e_i)            i = 0 … d/2−1

    e_i = 2i / (d − 2)               variant "aware": base b · s^(d/(d−2)); the fastest pair stays, the slowest is ÷ s
    e_i = 2i / d                     variant "base": base b · s
    e_i = 2(i + 1) / d               variant "fixed": θ'_i = 1 / (λ (βλ)^i), β = b^(2/d), λ = s^(2/d); slowest ÷ s

Source: bloc97 2023, "NTK-Aware Scaled RoPE", r/LocalLLaMA (aware); Su 2023, "Transformer upgrade road 10: RoPE is a
β-ary encoding", kexue.fm/archives/9675 (base), and "road 11", kexue.fm/archives/9706 (fixed).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class NTK(RotaryEmbedding):
    """Neutral: factor = 1.

    Arguments:
        factor: s, wanted over trained length (left open: from the geometry); reads to about half of s untrained.
        variant: which of the three published changes of the base.

    >>> NTK(factor=100, variant="base", theta=100).frequencies(4).tolist()
    [1.0, 0.01]
    """

    factor: float | None = None
    variant: Literal["aware", "base", "fixed"] = "aware"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "factor")
        self.require(self.variant in ("aware", "base", "fixed"), "variant", "'aware', 'base' or 'fixed'")

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """The more slowed down the slower they are."""
        pair = torch.arange(rotary_dim // 2, dtype=torch.float64)
        rotating = max(self.rotating(rotary_dim), 1)
        exponent = {
            "aware": pair / max(rotating - 1, 1),
            "base": pair / rotating,
            "fixed": (pair + 1) / rotating,
        }[self.variant]
        return self.original(rotary_dim) * self.known(self.factor, "factor") ** -exponent

    def changes_nothing(self, length: int) -> bool:
        """The base stays."""
        return self.factor == 1
