"""Shaw: a learned vector per clipped distance, added to the key and another one added to the value.

    score(i, j) = scale · ⟨ q_i, k_j + key[c] ⟩     out(i) = Σ_j weight(i, j) · ( v_j + value[c] )
    c = clip(j − i, −K, K) + K

Source: Shaw et al. 2018, "Self-Attention with Relative Position Representations", arXiv:1803.02155, eq. 3 and 4.
Differs from the paper: the tables start at zero, not at random.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.slots import VectorBias


@dataclass(frozen=True)
class Shaw(VectorBias):
    """Neutral: tables of zeros. Heads share the tables.

    Arguments:
        clip: K, tokens; all distances from here on share one row.

    >>> Shaw(clip=2).row(torch.tensor([-9, -1, 0, 1, 9])).tolist()
    [4, 3, 2, 1, 0]
    """

    clip: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "clip")

    def row(self, relative: Tensor) -> Int64[Tensor, "..."]:
        """Row 0 belongs to the keys farthest back; distances between whole numbers count as the one nearer to 0."""
        return self.clip - relative.clamp(-self.clip, self.clip).long()

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Tables of zeros; values are taken to be as wide as keys."""
        return {name: torch.zeros(2 * self.clip + 1, head_dim) for name in ("key", "value")}

    @property
    def constant_beyond(self) -> int:
        """The clipping distance."""
        return self.clip
