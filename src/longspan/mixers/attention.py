"""Attention as a mixer: multi-head, grouped-query and multi-query attention with a cache of keys and values.

    y_t = W_o [ Σ_{j ≤ t} softmax_j( q_t^h · k_j^{g(h)} / √d ) v_j^{g(h)} ]_h        g(h) = ⌊h / groups⌋

Groups of one are multi-head attention, as many as there are heads multi-query attention. The cache holds
2 · kv_heads · d numbers per token. Any scheme may stand in for rope: "rope + top_k(k=32)" is attention over the nearest
neighbours among all keys so far.

Source: Vaswani et al. 2017, arXiv:1706.03762; Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You
Need", arXiv:1911.02150 (MQA); Ainslie et al. 2023, "GQA", arXiv:2305.13245; k nearest keys: Wu et al. 2022, "Memorizing
Transformers", arXiv:2203.08913 (its gate between local and remembered tokens is left out).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.attend import attend
from longspan.errors import SchemeError
from longspan.notation import parse
from longspan.slots import BlockMixer, HeadsMixer, State, Weights, head_projections


@dataclass(frozen=True)
class Attention(BlockMixer, HeadsMixer):
    """Neutral: the default is the attention of a Llama.

    Arguments:
        groups: heads that share a key and a value.
        scheme: of the attention, without learned numbers.

    >>> Attention(groups=2).initial_state(1, Attention(groups=2).initial_weights(4, 8))["key"].shape
    torch.Size([1, 2, 0, 8])
    """

    groups: int = 1
    scheme: str = "rope"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.groups >= 1, "groups", "at least 1")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query: (heads, head_dim, hidden); key, value: (kv_heads, head_dim, hidden); out: (hidden, heads, head_dim).

        Errors: SchemeError where the groups do not divide the heads, and for a scheme that learns numbers.
        """
        if num_heads % self.groups:
            raise SchemeError(f"attention: groups must divide the heads, got {self.groups} for {num_heads}")
        if learned := parse(self.scheme).initial_weights(num_heads, head_dim):
            raise SchemeError(
                f"attention: {self.scheme} learns {', '.join(learned)}: name a scheme that learns nothing"
            )
        return head_projections(num_heads, head_dim, generator, kv_heads=num_heads // self.groups)

    def initial_state(self, batch: int, weights: Weights) -> State:
        """key, value: of the tokens so far, (batch, kv_heads, tokens, head_dim), not rotated."""
        heads, width, _ = weights["key"].shape
        return {name: weights[name].new_zeros(batch, heads, 0, width) for name in ("key", "value")}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Several queries over all keys so far; memory is linear whatever the chunk."""
        query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
        state = {"key": torch.cat([state["key"], key], 2), "value": torch.cat([state["value"], value], 2)}
        y = attend(query, state["key"], state["value"], self.scheme)
        return torch.einsum("bhtk,dhk->btd", y, weights["out"]), state
