"""Linear attention: the weight of a pair is a product of features, so that a state of fixed size holds the past.

    y_t = φ(q_t)ᵀ S_t / (φ(q_t)ᵀ z_t + ε)        S_t = S_{t−1} + φ(k_t) v_tᵀ,  z_t = z_{t−1} + φ(k_t)

    elu       φ(x) = elu(x) + 1,  ε = 1e-6
    cosine    φ(x) = (1, x / |x|): the weight is 1 + cos(q, k),  ε = 0
    softmax   y_t = softmax(q_t)ᵀ M_t,  M_t = Σ_{j ≤ t} softmax over the keys so far (k_j) v_jᵀ,  ε = 0

Source: Katharopoulos et al. 2020, "Transformers are RNNs", arXiv:2006.16236, eq. 10–12 (elu; ε from the authors' code);
kexue.fm/archives/7546 (cosine; softmax, after Shen et al. 2018, "Efficient Attention", arXiv:1812.01243).
Differs from the paper: the softmax over keys runs over the keys so far, as a causal model needs; the articles give the
bidirectional form, which `both_directions` computes.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.recurrence.chunks import chunk_recurrence
from longspan.compute.recurrence.scan import associative_scan
from longspan.slots import Mixer, State, Weights, projection

NAMES = ("query", "key", "value")


@dataclass(frozen=True)
class LinearAttention(Mixer):
    """Neutral: none; every setting replaces softmax attention.

    Arguments:
        feature: the feature map φ: "elu", "cosine" or "softmax".

    >>> LinearAttention().modes
    ('recurrent', 'chunk', 'parallel')
    """

    feature: Literal["elu", "cosine", "softmax"] = "elu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.feature in ("elu", "cosine", "softmax"), "feature", "'elu', 'cosine' or 'softmax'")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query, key and value: (heads, head_dim, hidden); out: (hidden, heads, head_dim)."""
        hidden = num_heads * head_dim
        found = {name: projection(num_heads, head_dim, hidden, generator=generator) for name in NAMES}
        return found | {"out": projection(hidden, num_heads, head_dim, generator=generator, fan_in=hidden)}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: S, or M, with z as its last column; highest: the largest key so far, for the softmax over keys."""
        heads, width, _ = weights["key"].shape
        features = width + (self.feature == "cosine")
        state = {"sum": weights["key"].new_zeros(batch, heads, features, width + 1)}
        if self.feature == "softmax":
            state["highest"] = weights["key"].new_full((batch, heads, features), -inf)
        return state

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """S ← S + φ(k) vᵀ, then φ(q)ᵀ S."""
        query, key, value = (torch.einsum("bd,hkd->bhk", x, weights[name]) for name in NAMES)
        value = _with_one(value)
        if self.feature == "softmax":
            highest = torch.maximum(state["highest"], key)
            kept, gained = (state["highest"] - highest).exp(), (key - highest).exp()
            total = kept[..., None] * state["sum"] + gained[..., None] * value[..., None, :]
            query = query.softmax(-1) / total[..., -1]
            y, state = (query[..., None, :] @ total)[..., 0, :-1], {"sum": total, "highest": highest}
        else:
            total = state["sum"] + self._features(key)[..., None] * value[..., None, :]
            y, state = self._normalized((self._features(query)[..., None, :] @ total)[..., 0, :]), {"sum": total}
        return torch.einsum("bhk,dhk->bd", y, weights["out"]), state

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Products of whole chunks; the softmax over keys scans its states."""
        query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in NAMES)
        value = _with_one(value)
        if self.feature == "softmax":
            y, state = _softmax_chunks(query.softmax(-1), key, value, state, chunk)
        else:
            decay = key.new_ones(key.shape[1])
            query, key = self._features(query), self._features(key)
            y, total = chunk_recurrence(query, key, value, decay, state["sum"], chunk)
            y, state = self._normalized(y), {"sum": total}
        return torch.einsum("bhtk,dhk->btd", y, weights["out"]), state

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """All weights of all pairs, as a matrix of tokens × tokens."""
        return self._whole(x, weights, causal=True)

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The same matrix without a mask; the softmax over keys runs over all of them."""
        return self._whole(x, weights, causal=False)

    def _whole(self, x: Tensor, weights: Weights, causal: bool) -> Tensor:
        query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in NAMES)
        seen = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool)
        seen = seen.tril() if causal else seen
        if self.feature == "softmax":
            scores = key[:, :, None].masked_fill(~seen[..., None], -inf)  # (batch, heads, query, key, feature)
            matrix = torch.einsum("bhtf,bhtsf->bhts", query.softmax(-1), scores.softmax(3))
        else:
            products = (self._features(query) @ self._features(key).mT).masked_fill(~seen, 0.0)
            matrix = products / (products.sum(-1, keepdim=True) + self._least)
        return torch.einsum("bhts,bhsk,dhk->btd", matrix, value, weights["out"])

    def _features(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... features"]:
        if self.feature == "elu":
            return torch.nn.functional.elu(x) + 1
        unit = torch.nn.functional.normalize(x, dim=-1)
        return torch.cat([torch.ones_like(x[..., :1]), unit], -1)

    @property
    def _least(self) -> float:
        return 1e-6 if self.feature == "elu" else 0.0

    def _normalized(self, y: Float[Tensor, "... value_dim_and_one"]) -> Float[Tensor, "... value_dim"]:
        return y[..., :-1] / (y[..., -1:] + self._least)


def _with_one(value: Float[Tensor, "... value_dim"]) -> Float[Tensor, "... value_dim_and_one"]:
    """Values with a column of ones, whose sum is the normalizer."""
    return torch.cat([value, torch.ones_like(value[..., :1])], -1)


def _softmax_chunks(query: Tensor, key: Tensor, value: Tensor, state: State, chunk: int) -> tuple[Tensor, State]:
    """Each feature forgets by its own share, so that its states are a scan; a chunk of them at a time."""
    total, highest, outputs = state["sum"], state["highest"], []
    for some_query, some_key, some_value in zip(*(each.split(chunk, 2) for each in (query, key, value)), strict=True):
        reached = torch.maximum(some_key.cummax(2).values, highest[:, :, None])
        before = torch.cat([highest[:, :, None], reached[:, :, :-1]], 2)
        kept, gained = (before - reached).exp(), (some_key - reached).exp()
        added = gained[..., None] * some_value[..., None, :]
        sums = associative_scan(kept.transpose(1, 2)[..., None], added.transpose(1, 2), total).transpose(1, 2)
        outputs.append(torch.einsum("bhtf,bhtfk->bhtk", some_query / sums[..., -1], sums[..., :-1]))
        total, highest = sums[:, :, -1], reached[:, :, -1]
    return torch.cat(outputs, 2), {"sum": total, "highest": highest}
