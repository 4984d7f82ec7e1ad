"""RMS normalization of queries and keys, with a learned gain per channel.

    N(x) = gain · x / √( mean(x²) + eps )           the mean is over the head's channels

Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, eq. 4; on queries and keys:
Qwen team 2025, "Qwen3 Technical Report", arXiv:2505.09388 (OLMo 2 spans the mean over all heads, Llama 4 has no gain).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.slots import QKNorm, Weights


@dataclass(frozen=True)
class RMS(QKNorm):
    """Neutral: none. The gains may be left out; they start at one.

    Arguments:
        eps: added to the mean square, so that a zero vector stays zero.

    >>> RMS(eps=0.0).key(torch.tensor([3.0, 3.0]), {}).tolist()
    [1.0, 1.0]
    """

    optional_weights = True
    eps: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "eps")

    def query(self, query: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The query at root mean square one, times the gain."""
        return self._normalized(query, weights.get("query_gain"))

    def key(self, key: Float[Tensor, "*batch d"], weights: Weights) -> Float[Tensor, "*batch d"]:
        """The key at root mean square one, times the gain."""
        return self._normalized(key, weights.get("key_gain"))

    def _normalized(self, x: Tensor, gain: Tensor | None) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return (wide if gain is None else wide * gain).to(x.dtype)

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Gains of one, shared by the heads."""
        return {"query_gain": torch.ones(head_dim), "key_gain": torch.ones(head_dim)}
