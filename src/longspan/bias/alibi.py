"""ALiBi: a penalty that grows in proportion to the distance, with a slope per head.

    bias_h(r) = −slope_h · |r|             slope_h = 2^(−8h/H),  h = 1 … H    (H a power of two)

For other H: the slopes of the largest power of two P below H, then the first H − P of the odd-numbered slopes of 2P.

Source: Press et al. 2021, "Train Short, Test Long", arXiv:2108.12409, section 3.
Differs from the paper: under a bidirectional mask the penalty is symmetric, so left and right look alike.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from longspan.memo import real_numbers, remember
from longspan.slots import ScoreBias, Weights


@remember(None)
def slopes(num_heads: int) -> Float64[Tensor, " heads"]:
    """The penalty per token of each head.

    >>> slopes(3).tolist() == [2**-4, 2**-8, 2**-2]
    True
    """
    power = 1 << (num_heads.bit_length() - 1)

    def of(count: int) -> Float64[Tensor, " count"]:
        return 2.0 ** (-8.0 * torch.arange(1, count + 1, dtype=torch.float64) / count)

    with real_numbers():
        return torch.cat([of(power), of(2 * power)[0::2][: num_heads - power]])


@dataclass(frozen=True)
class ALiBi(ScoreBias):
    """Neutral: none."""

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """−slope · |i − j|."""
        return -slopes(num_heads).to(relative.device)[head] * relative.abs()

    def per_token(self, num_heads: int) -> Float64[Tensor, " heads"]:
        """−slope."""
        return -slopes(num_heads)
