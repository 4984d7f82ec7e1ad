"""What attention by features has in common: the weight of a pair is φ(q_i)ᵀ φ(k_j), divided by the sum of its row.

    y_t = φ(q_t)ᵀ S_t / φ(q_t)ᵀ z_t        S_t = S_{t−1} + φ(k_t) v_tᵀ,  z_t = z_{t−1} + φ(k_t)

z is the last column of S, because values carry a one.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.recurrence.chunks import chunk_recurrence, in_strips
from longspan.compute.recurrence.heads import from_heads, summing, to_heads
from longspan.slots import HeadsMixer, State, Weights


@dataclass(frozen=True)
class FeatureAttention(HeadsMixer):
    """Attention by features: a mixer of this kind gives the feature map φ alone."""

    sees_place: ClassVar[bool] = False
    """Whether features depend on the place of a token in its document."""

    @abstractmethod
    def features(self, x: Float[Tensor, "*axes width"], place: Int64[Tensor, "*places"]) -> Float[Tensor, "*axes out"]:
        """φ of queries, or of keys.

        Arguments:
            place: of the tokens in their document, counted from 0; its shape broadcasts to that of x without the width.
        """

    @abstractmethod
    def num_features(self, head_dim: int) -> int:
        """The width of φ."""

    def normalized(self, sums: Float[Tensor, "*axes sums"]) -> Float[Tensor, "*axes width"]:
        """Divide φ(q)ᵀ S by its last column, φ(q)ᵀ z."""
        return sums[..., :-1] / sums[..., -1:]

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: S with z as its last column; place: the number of tokens read, where features depend on it."""
        value = weights["value"]
        heads, width, _ = value.shape
        shape = batch, heads, self.num_features(width), width + 1
        state = {"sum": value.new_zeros(shape, dtype=summing(value.dtype))}
        return (
            state | {"place": torch.zeros(batch, dtype=torch.int64, device=value.device)} if self.sees_place else state
        )

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """S ← S + φ(k) vᵀ, then φ(q)ᵀ S."""
        place = self._place(x, state)
        query, key, value = self._read(x, weights, place[:, None])
        total = state["sum"] + key[..., None] * value[..., None, :]
        y = self.normalized((query[..., None, :] @ total)[..., 0, :])
        return from_heads(y, weights["out"]), self._after(total, place + 1)

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Products of whole chunks, and S between them."""

        def read(strip: Tensor, state: State) -> tuple[Tensor, State]:
            place = self._place(strip, state)
            places = place[:, None] + torch.arange(strip.shape[1], device=x.device)
            query, key, value = self._read(strip, weights, places[:, None])
            y, total = chunk_recurrence(query, key, value, query.new_ones(query.shape[1]), state["sum"], chunk)
            return from_heads(self.normalized(y), weights["out"]), self._after(total, place + strip.shape[1])

        return in_strips(x, chunk, state, read)

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """All weights of all pairs, as a matrix of tokens × tokens."""
        return self._whole(x, weights, causal=True)

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The same matrix without a mask."""
        return self._whole(x, weights, causal=False)

    def _place(self, x: Tensor, state: State) -> Tensor:
        """The place of the next token of each document; 0 where features do not depend on it."""
        return state["place"] if self.sees_place else x.new_zeros(len(x), dtype=torch.int64)

    def _whole(self, x: Tensor, weights: Weights, causal: bool) -> Tensor:
        query, key, value = self._read(x, weights, torch.arange(x.shape[1], device=x.device)[None, None])
        products = query @ key.mT
        return from_heads(self.normalized((products.tril() if causal else products) @ value), weights["out"])

    def _read(self, x: Tensor, weights: Weights, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """φ(q), φ(k), and v with a one."""
        query, key, value = (to_heads(x, weights[name]) for name in ("query", "key", "value"))
        return self.features(query, place), self.features(key, place), with_one(value)

    def _after(self, total: Tensor, place: Tensor) -> State:
        return {"sum": total, "place": place} if self.sees_place else {"sum": total}


def with_one(value: Float[Tensor, "*axes width"]) -> Float[Tensor, "*axes more"]:
    """Values with a column of ones, whose sum is the normalizer."""
    return torch.cat([value, torch.ones_like(value[..., :1])], -1)
