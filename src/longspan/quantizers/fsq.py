"""FSQ: each channel is rounded to one of a few levels; the code is the tuple of levels, and there is no codebook.

    h_i = (L_i − 1)(1 − ε)/2        o_i = 1/2 if L_i is even, else 0        s_i = tan(o_i / h_i)
    bound(z)_i = h_i tanh(z_i + s_i) − o_i        q = round(bound(z)), backward the identity        code = q / ⌊L/2⌋
    index = Σ_i (q_i + ⌊L_i/2⌋) Π_{j<i} L_j

Codes of an even number of levels are not symmetric: −1 … 0.75 for eight. The product of the levels is near a power of
two and seldom one: (8, 5, 5, 5) has 1000 codes.

Source: Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505, section 3.1 and
appendix A.1 (ε = 10⁻³); the same map with a sigmoid: Su 2023, kexue.fm/archives/9826.
"""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.errors import ShapeError

EPSILON = 1e-3
LARGEST = 0.999
"""A tanh that is reached; the levels of a channel of two lie beyond 1, and are rounded to from below."""


@dataclass(frozen=True)
class FSQ:
    """Rounding to levels, per channel.

    Arguments:
        levels: L, of each channel, at least 2; the paper recommends at least 5.

    >>> FSQ((8, 5, 5, 5)).codes
    1000
    """

    levels: tuple[int, ...] = (8, 5, 5, 5)

    def __post_init__(self) -> None:
        if not self.levels or any(level < 2 for level in self.levels):
            raise ShapeError(f"every channel needs at least 2 levels, got {self.levels}")

    @property
    def codes(self) -> int:
        """The number of codes."""
        return prod(self.levels)

    def _numbers(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h, o and ⌊L/2⌋."""
        levels = torch.tensor(self.levels, dtype=like.dtype, device=like.device)
        return (levels - 1) * (1 - EPSILON) / 2, 0.5 * (levels % 2 == 0), (levels / 2).floor()

    def bound(self, z: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        """Bring each channel between its lowest and its highest level."""
        half, offset, _ = self._numbers(z)
        return (z + (offset / half).tan()).tanh() * half - offset

    def quantize(self, z: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        """Return the codes, between −1 and 1, with the gradient of `bound` alone."""
        exact = z.to(torch.promote_types(z.dtype, torch.float32))  # bfloat16 cannot tell levels apart
        bounded = self.bound(exact)
        rounded = bounded + (bounded.round() - bounded).detach()
        return (rounded / self._numbers(exact)[2]).to(z.dtype)

    def index(self, code: Float[Tensor, "*batch channels"]) -> Int64[Tensor, "*batch"]:
        """The number of a code, from 0 on."""
        width = self._numbers(code)[2]
        return ((code * width + width).round().long() * self._basis(code.device)).sum(-1)

    def code(self, index: Int64[Tensor, "*batch"], dtype: torch.dtype = torch.float32) -> Tensor:
        """The code of a number, (*batch, channels)."""
        levels = torch.tensor(self.levels, device=index.device)
        level = (index[..., None] // self._basis(index.device)) % levels
        return (level - levels // 2).to(dtype) / (levels // 2)

    def inverse(self, code: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        """A vector that is quantized to this code."""
        half, offset, width = self._numbers(code)
        reached = ((code * width + offset) / half).clamp(-LARGEST, LARGEST)
        return reached.atanh() - (offset / half).tan()

    def _basis(self, device: torch.device) -> Tensor:
        return torch.tensor([prod(self.levels[:i]) for i in range(len(self.levels))], device=device)
