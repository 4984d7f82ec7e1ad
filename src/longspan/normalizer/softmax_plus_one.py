"""Softmax plus one: an extra logit in the denominator lets a query attend to nothing (attention sinks of gpt-oss).

    weight_j = e^{s_j} / ( e^{c} + Σ_k e^{s_k} )    c = 0, or learned per head

Source: Miller 2023, "Attention Is Off By One", evanmiller.org/attention-is-off-by-one.html (c = 0); OpenAI 2025,
"gpt-oss-120b & gpt-oss-20b Model Card", arXiv:2508.10925 (c learned).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Normalizer, Weights


@dataclass(frozen=True)
class SoftmaxPlusOne(Normalizer):
    """Neutral: logit → −inf. The logit may be left out; it starts at zero.

    >>> SoftmaxPlusOne()(torch.zeros(1, 1, 1, 3), {}).tolist()
    [[[[0.25, 0.25, 0.25]]]]
    """

    optional_weights = True
    rows_sum_to_one = False
    order = 1

    def __call__(
        self, scores: Float[Tensor, "batch heads queries keys"], weights: Weights
    ) -> Float[Tensor, "batch heads queries keys"]:
        """Softmax over the keys and the logit, without the logit's share."""
        beside = self.extra_logit(scores.shape[1], weights).to(scores)[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, beside], -1).softmax(-1)[..., :-1]

    def extra_logit(self, num_heads: int, weights: Weights) -> Float[Tensor, " num_heads"]:
        """The logit, per head."""
        return weights["logit"] if "logit" in weights else torch.zeros(num_heads)

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Logits of zero."""
        return {"logit": torch.zeros(num_heads)}
