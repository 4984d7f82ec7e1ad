"""Efficient attention: a softmax of each query over its channels, and of each channel of the keys over the text.

    y_t = softmax(q_t)ᵀ M_t        M_t = Σ_{j ≤ t} softmax over the keys so far (k_j) v_jᵀ

Source: Shen et al. 2018, "Efficient Attention: Attention with Linear Complexities", arXiv:1812.01243;
kexue.fm/archives/7546.
Differs from the paper: the softmax over keys runs over the keys so far, as a causal model needs. The paper's own form
is the bidirectional one.
"""

from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.recurrence.feature_attention import with_one
from longspan.compute.recurrence.heads import from_heads, summing, to_heads
from longspan.compute.recurrence.scan import associative_scan
from longspan.slots import HeadsMixer, State, Weights

NAMES = ("query", "key", "value")


@dataclass(frozen=True)
class EfficientAttention(HeadsMixer):
    """Neutral: none; it replaces softmax attention.

    >>> EfficientAttention().has_both_directions
    True
    """

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: Σ e^{k − highest} (v, 1)ᵀ; highest: the largest key of each channel so far."""
        key = weights["key"]
        heads, width, _ = key.shape
        dtype = summing(key.dtype)
        highest = key.new_full((batch, heads, width), -inf, dtype=dtype)
        return {"sum": key.new_zeros(batch, heads, width, width + 1, dtype=dtype), "highest": highest}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """Each channel of the key adds e^k; sums are relative to the largest key."""
        query, key, value = (to_heads(x, weights[name]) for name in NAMES)
        highest = torch.maximum(state["highest"], key.detach())
        kept, gained = (state["highest"] - highest).exp(), (key - highest).exp()
        total = kept[..., None] * state["sum"] + gained[..., None] * with_one(value)[..., None, :]
        mean = total[..., :-1] / total[..., -1:]
        y = (query.softmax(-1)[..., None, :] @ mean)[..., 0, :]
        return from_heads(y, weights["out"]), {"sum": total, "highest": highest}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Each channel forgets by a share of its own, so that its sums are a scan; a chunk of them at a time."""
        query, key, value = (to_heads(x, weights[name]) for name in NAMES)
        total, highest, outputs = state["sum"], state["highest"], []
        for q, k, v in zip(*(each.split(chunk, 2) for each in (query, key, with_one(value))), strict=True):
            reached = torch.maximum(k.detach().cummax(2).values, highest[:, :, None])
            before = torch.cat([highest[:, :, None], reached[:, :, :-1]], 2)
            kept, gained = (before - reached).exp(), (k - reached).exp()
            added = gained[..., None] * v[..., None, :]
            sums = associative_scan(kept.transpose(1, 2)[..., None], added.transpose(1, 2), total).transpose(1, 2)
            outputs.append(torch.einsum("bhtf,bhtfk->bhtk", q.softmax(-1), sums[..., :-1] / sums[..., -1:]))
            total, highest = sums[:, :, -1], reached[:, :, -1]
        return from_heads(torch.cat(outputs, 2), weights["out"]), {"sum": total, "highest": highest}

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The softmax of each channel over the keys so far, as tokens × tokens × channels."""
        query, key, value = (to_heads(x, weights[name]) for name in NAMES)
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        shares = key[:, :, None].masked_fill(~seen[..., None], -inf).softmax(3)  # (batch, heads, query, key, channel)
        y = torch.einsum("bhtf,bhtsf,bhsk->bhtk", query.softmax(-1), shares, value)
        return from_heads(y, weights["out"])

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """softmax(Q) (softmax over all keys (K)ᵀ V): the paper's form."""
        query, key, value = (to_heads(x, weights[name]) for name in NAMES)
        return from_heads(query.softmax(-1) @ (key.softmax(2).mT @ value), weights["out"])
