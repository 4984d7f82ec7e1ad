"""Sparse attention: nearby tokens, and far ones a fixed stride apart.

    y_t = W_o [ Σ_j softmax_j( RoPE(q_t) · RoPE(k_j) / √d ) v_j ]  per head, over the j ≤ t that the pattern sees

    local     t − j ≤ k
    atrous    (t − j) mod k = 0
    strided   local or atrous: n tokens cost about n (2k + n/2k) pairs instead of n²/2

A local layer and an atrous one, one after the other, connect every pair of tokens. Tokens lie in a grid of k columns:
a local key is in the same row or the one before, and an atrous key is in the same column, so that both are plain
products of blocks, whose scores share one softmax.

Source: Child et al. 2019, "Generating Long Sequences with Sparse Transformers", arXiv:1904.10509, section 4.2 (strided
attention; all heads see both patterns, the merged head of section 5.1); the three names: kexue.fm/archives/6853.
Differs from the paper: RoPE in place of learned embeddings of row and column. In both directions, which is ours after
the article, distances count without their sign.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from longspan.compute.rotate import rotate
from longspan.errors import ShapeError
from longspan.rotation.rope import RoPE
from longspan.slots import HeadsMixer, State, Weights

ROPE = RoPE(theta=10000.0)
PATTERNS = ("strided", "local", "atrous")


@dataclass(frozen=True)
class SparseAttention(HeadsMixer):
    """Neutral: strided or local with stride ≥ length − 1, and strided or atrous with a stride of 1.

    Arguments:
        stride: k, tokens; the paper takes about √n.
        pattern: which keys a query sees; "local" and "atrous" are for layers in turns.

    >>> SparseAttention(stride=3).sees(torch.arange(8)).int().tolist()
    [1, 1, 1, 1, 0, 0, 1, 0]
    """

    stride: int = 128
    pattern: Literal["strided", "local", "atrous"] = "strided"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "stride")
        self.require(self.pattern in PATTERNS, "pattern", "'strided', 'local' or 'atrous'")

    def sees(self, distance: Int64[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Whether a query sees a key so many tokens before it; after it, where the distance is negative."""
        near, aligned = distance.abs() <= self.stride, distance % self.stride == 0
        return {"strided": near | aligned, "local": near, "atrous": aligned}[self.pattern]

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query, key, value: (heads, head_dim, hidden); out: (hidden, heads, head_dim).

        Errors: SchemeError for an odd head dimension.
        """
        self.require_pairs(head_dim)
        return super().initial_weights(num_heads, head_dim, generator)

    def initial_state(self, batch: int, weights: Weights) -> State:
        """key, rotated, and value: of the tokens so far, (batch, heads, tokens, head_dim)."""
        heads, width, _ = weights["key"].shape
        return {name: weights[name].new_zeros(batch, heads, 0, width) for name in ("key", "value")}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """One query over the keys that the pattern sees, and no others are read."""
        query, state = self._read(x[:, None], weights, state)
        tokens = state["key"].shape[2]
        seen = self.sees(tokens - 1 - torch.arange(tokens, device=x.device)).nonzero()[:, 0]
        shares = (query @ state["key"][:, :, seen].mT).softmax(-1)
        return _out(shares @ state["value"][:, :, seen], weights)[:, 0], state

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Whole rows of the grid, of about a chunk of queries together."""
        if chunk < 1:
            raise ShapeError(f"a chunk must have at least 1 token, got {chunk}")
        query, state = self._read(x, weights, state)
        y = self._attend(query, state, max(1, chunk // self.stride), causal=True)
        return _out(y, weights), state

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Queries over keys on both sides."""
        query, state = self._read(x, weights, self.initial_state(len(x), weights))
        return _out(self._attend(query, state, 1, causal=False), weights)

    def _read(self, x: Tensor, weights: Weights, state: State) -> tuple[Tensor, State]:
        """Queries, scaled and rotated; keys and values so far, the new ones included."""
        query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
        place = (state["key"].shape[2] + torch.arange(x.shape[1], device=x.device))[None, :, None]
        spectrum = ROPE.spectrum(query.shape[-1])
        query, key = (rotate(each, place, spectrum) for each in (query, key))
        read = {"key": torch.cat([state["key"], key], 2), "value": torch.cat([state["value"], value], 2)}
        return query * query.shape[-1] ** -0.5, read

    def _attend(self, query: Tensor, state: State, together: int, causal: bool) -> Tensor:
        """Queries are the last of the keys; `together` rows of the grid are computed at once."""
        tokens = state["key"].shape[2]
        first = tokens - query.shape[2]
        top = first // self.stride
        key, value = (self._grid(state[name], 0) for name in ("key", "value"))
        rows, outputs = self._grid(query, first - top * self.stride), []
        for start in range(0, rows.shape[2], together):
            some = rows[:, :, start : start + together]
            outputs.append(self._rows(some, key, value, top + start, tokens, causal))
        return torch.cat(outputs, 2).flatten(2, 3)[:, :, first - top * self.stride :][:, :, : query.shape[2]]

    def _grid(self, x: Tensor, before: int) -> Tensor:
        """Rows of k tokens: (batch, heads, rows, k, head_dim), with zeros before and after the tokens."""
        after = -(before + x.shape[2]) % self.stride
        return torch.nn.functional.pad(x, (0, 0, before, after)).unflatten(2, (-1, self.stride))

    def _rows(self, query: Tensor, key: Tensor, value: Tensor, top: int, tokens: int, causal: bool) -> Tensor:
        """One softmax over local and atrous keys, for the rows of queries from `top` on."""
        rows, held = top + torch.arange(query.shape[2], device=query.device), key.shape[2]
        column = torch.arange(self.stride, device=query.device)
        asked = (rows[:, None] * self.stride + column)[..., None]  # (rows, k, 1)
        scores, values, products = [], [], []
        for offset in self._offsets(causal):
            beside = (rows + offset).clamp(0, held - 1)
            order = (rows + offset)[:, None, None] * self.stride + column  # (rows, 1, k)
            exists = _exists(asked, order, tokens, causal) & ((asked - order).abs() <= self.stride)
            scores.append((query @ key[:, :, beside].mT).masked_fill(~exists, -inf))
            values.append(value[:, :, beside])
            products.append("bhrcj,bhrjd->bhrcd")
        if self.pattern != "local":
            above = slice(0, top + len(rows) if causal else held)
            every = torch.arange(held, device=query.device)[above]
            exists = _exists(asked, every * self.stride + column[:, None], tokens, causal)  # (rows, k, rows of keys)
            if self.pattern == "strided":  # those in the same row and in the next ones are local
                exists &= ((rows[:, None] - every).abs() > 1)[:, None]
            aligned = torch.einsum("bhrcd,bhmcd->bhrcm", query, key[:, :, above])
            scores.append(aligned.masked_fill(~exists, -inf))
            values.append(value[:, :, above])
            products.append("bhrcm,bhmcd->bhrcd")
        shares = torch.cat(scores, -1).softmax(-1).split([some.shape[-1] for some in scores], -1)
        parts = [torch.einsum(*each) for each in zip(products, shares, values, strict=True)]
        return torch.stack(parts).sum(0)

    def _offsets(self, causal: bool) -> tuple[int, ...]:
        """Rows of local keys, counted from that of the query."""
        if self.pattern == "atrous":
            return ()
        return (-1, 0) if causal else (-1, 0, 1)


def _exists(query: Tensor, key: Tensor, tokens: int, causal: bool) -> Tensor:
    """Which pairs of orders exist; a query that only fills its row sees what fills rows, so that no row is empty."""
    inside = (key >= 0) & ((key < tokens) | (query >= tokens))
    return inside & (key <= query) if causal else inside


def _out(y: Tensor, weights: Weights) -> Tensor:
    return torch.einsum("bhtk,dhk->btd", y, weights["out"])
