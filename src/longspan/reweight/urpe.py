"""URPE: attention weights times a learned factor per head and distance, so that rows need not sum to one.

    weight_h(i, j) = normalizer(…) · c_h(r)         r = i − j, clipped to ± K

Source: Luo et al. 2022, "Your Transformer May Not be as Powerful as You Expect", arXiv:2205.13401, eq. 8; factors that
start at one: the authors' code.
Differs from the paper: distances beyond K share a factor, so that any length is defined. The authors' code can also let
distances of one bucket, as in T5, share a factor: give `factors` as `table[:, bucket]` with
`bucket = T5(64, 128, sides="both").bucket(torch.arange(K, -K - 1, -1))`; what is learned is then the table.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.slots import Reweight, Weights


@dataclass(frozen=True)
class URPE(Reweight):
    """Neutral: factors of one, their start.

    Arguments:
        max_distance: K, tokens; all distances from here on share one factor.

    >>> numbers = {"factors": torch.tensor([[1.0, 2.0, 3.0]])}
    >>> URPE(max_distance=1)(torch.tensor([-1, 0, 1, 7]), torch.tensor(0), 1, numbers).tolist()
    [3.0, 2.0, 1.0, 1.0]
    """

    max_distance: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "max_distance")

    def __call__(
        self, relative: Tensor, head: Int64[Tensor, "..."], num_heads: int, weights: Weights
    ) -> Float[Tensor, "..."]:
        """The factor; column 0 belongs to the keys farthest back, as in `shaw`."""
        column = self.max_distance - relative.clamp(-self.max_distance, self.max_distance).long()
        return weights["factors"][head, column]

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Factors of one."""
        return {"factors": torch.ones(num_heads, 2 * self.max_distance + 1)}

    @property
    def constant_beyond(self) -> int:
        """The clipping distance."""
        return self.max_distance
