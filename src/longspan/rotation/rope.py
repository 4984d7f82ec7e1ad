"""RoPE: each channel pair is rotated by an angle in proportion to the position.

    R(p) rotates pair i by p · theta^(−2i/d)      i = 0 … d/2−1,  so that  ⟨R(m)q, R(n)k⟩ depends on m − n only

Source: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv:2104.09864, eq. 15.
"""

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from longspan.slots import RotaryEmbedding


@dataclass(frozen=True)
class RoPE(RotaryEmbedding):
    """Neutral: none; `nope` is the scheme without rotation.

    Arguments:
        theta: base of the frequencies (left open: the geometry's, else 10000).

    >>> RoPE(theta=10000).frequencies(4).tolist()
    [1.0, 0.01]
    """

    theta: float | None = None

    def frequencies(self, rotary_dim: int) -> Float64[Tensor, " pairs"]:
        """theta^(−2i/d)."""
        return self.original(rotary_dim)
