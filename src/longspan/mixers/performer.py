"""Performer (FAVOR+): random features whose products are, on average, the exponentials of softmax attention.

    e^{q·k} = E_w[ e^{w·q − |q|²/2} e^{w·k − |k|²/2} ],  w ~ N(0, 1)
    φ(x)_i = m^{−1/2} ( e^{w_i·x' − |x'|²/2} + ε ),  x' = x d^{−1/4},  i = 1 … m

Source: Choromanski et al. 2020, "Rethinking Attention with Performers", arXiv:2009.14794, lemma 1;
orthogonal directions and ε as in performer-pytorch.
Differs from the paper: the authors' code subtracts the largest exponent of all keys, which sees later tokens.
Here nothing is subtracted: an exponent is at most |w|²/2, a number of the size of the head dimension.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from longspan.compute.recurrence.feature_attention import FeatureAttention
from longspan.memo import real_numbers, remember


@dataclass(frozen=True)
class Performer(FeatureAttention):
    """Neutral: none; softmax attention itself is the limit of many features.

    Arguments:
        num: m, random features; 0 for ⌊d ln d⌋ of a head dimension d.
        seed: of the random directions; another seed is another draw.
        lengths: of the directions: "chi", as of normal vectors, or "fixed" at √d.
        epsilon: ε, what keeps features away from zero.

    >>> Performer().num_features(64)
    266
    """

    num: int = 0
    seed: int = 0
    lengths: Literal["chi", "fixed"] = "chi"
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "num")
        self.require(0 <= self.seed < 2**62, "seed", "0 … 2^62")
        self.require(self.lengths in ("chi", "fixed"), "lengths", "'chi' or 'fixed'")
        self.require(self.epsilon >= 0, "epsilon", "at least 0")

    def num_features(self, head_dim: int) -> int:
        """m."""
        return self.num or max(1, int(head_dim * log(head_dim)))

    def features(self, x: Float[Tensor, "*axes width"], place: Int64[Tensor, "*places"]) -> Float[Tensor, "*axes out"]:
        """m^{−1/2} ( e^{w·x − |x|²/2} + ε ) of scaled inputs."""
        width = x.shape[-1]
        num = self.num_features(width)
        x = x * width**-0.25
        exponent = x @ directions(num, width, self.seed, self.lengths).to(x).T - x.square().sum(-1, keepdim=True) / 2
        return (exponent.exp() + self.epsilon) * num**-0.5


@remember(64)
@real_numbers()
def directions(num: int, width: int, seed: int, lengths: str) -> Float64[Tensor, "num width"]:
    """Draw random directions in blocks of `width` that are orthogonal, each uniform on the sphere."""
    generator = torch.Generator().manual_seed(seed)
    blocks = []
    for _ in range(-(-num // width)):
        drawn = torch.randn(width, width, dtype=torch.float64, generator=generator)
        q, r = torch.linalg.qr(drawn)
        blocks.append((q * r.diagonal().sign()).T)  # with these signs each is uniform
    unit = torch.cat(blocks)[:num]
    if lengths == "fixed":
        return unit * width**0.5
    return unit * torch.randn(num, width, dtype=torch.float64, generator=generator).norm(dim=1, keepdim=True)
