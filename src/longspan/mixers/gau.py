"""GAU, the gated attention unit: one head of attention inside a gated linear unit, in place of attention and FFN.

    u_t = silu(W_u x_t)     v_t = silu(W_v x_t)     z_t = silu(W_z x_t)     q_t = z_t γ_q + β_q,  k_t = z_t γ_k + β_k
    y_t = W_o ( u_t ⊙ Σ_{j ≤ t} a_tj v_j )

    squared_relu   a_tj = max(0, s_tj)² / n_t                                    n_t = t + 1, the keys that t sees
    softmax_plus   a_tj = softmax_j( s_tj · ln max(n_t, 16) / ln 512 )           s_tj = RoPE(q_t) · RoPE(k_j) / √width

Trained at 512 tokens, relu²/n is bad at other lengths, because the size of its output depends on the length;
softmax_plus keeps both size and entropy.

Source: Hua et al. 2022, "Transformer Quality in Linear Time", arXiv:2202.10447, section 2; kexue.fm/archives/8934
(1/n outside the square), 8990 and 9019; softmax_plus: github.com/ZhuiyiTechnology/GAU-alpha, kexue.fm/archives/9052.
"""

from dataclasses import dataclass
from math import log
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from longspan.compute.attend import attend
from longspan.slots import GatedUnit, Matrices, State, Weights, projection

LEAST, TRAINED = 16, 512
"""Tokens of softmax_plus: below the first the scale does not fall, at the second it is one."""


@dataclass(frozen=True)
class GAU(GatedUnit):
    """Neutral: none. Two of them, without feed-forward networks, have the numbers of one layer of a Transformer.

    Arguments:
        normalizer: how scores become weights.
        expansion: width of gate and values over that of the layer.
        feed_forward: whether the layer keeps its feed-forward network; the paper has none.

    >>> {name: tuple(value.shape) for name, value in GAU().initial_weights(2, 4).items()}["value"]
    (16, 8)
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"gate": 1, "value": 1, "shared": 1, "out": 1})
    normalizer: Literal["softmax_plus", "squared_relu"] = "softmax_plus"
    expansion: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.normalizer in ("softmax_plus", "squared_relu"), "normalizer", "'softmax_plus' or 'squared_relu'"
        )
        self.require(self.expansion >= 1, "expansion", "at least 1")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """gate, value: (wide, hidden); shared: (head_dim, hidden); scales: (2, head_dim), γ of queries and of keys;
        offsets: (2, head_dim), β; out: (hidden, wide).
        """
        hidden, wide = num_heads * head_dim, self.expansion * num_heads * head_dim
        sizes = {"gate": (wide, hidden), "value": (wide, hidden), "shared": (head_dim, hidden), "out": (hidden, wide)}
        found = {name: projection(*shape, generator=generator) for name, shape in sizes.items()}
        return found | {"scales": torch.ones(2, head_dim), "offsets": torch.zeros(2, head_dim)}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """key: (batch, tokens, head_dim), not rotated; value: (batch, tokens, wide)."""
        return {
            "key": weights["shared"].new_zeros(batch, 0, len(weights["shared"])),
            "value": weights["value"].new_zeros(batch, 0, len(weights["value"])),
        }

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Several queries over all keys so far; the chunk does not matter."""
        query, key, value = self._read(x, weights)
        state = {"key": torch.cat([state["key"], key], 1), "value": torch.cat([state["value"], value], 1)}
        seen = torch.arange(state["key"].shape[1], device=x.device)[-x.shape[1] :] + 1
        mixed = self._attend(query, state, seen, "")
        return (silu(x @ weights["gate"].mT) * mixed) @ weights["out"].mT, state

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """All queries over all keys."""
        query, key, value = self._read(x, weights)
        seen = torch.full((x.shape[1],), x.shape[1], device=x.device)
        mixed = self._attend(query, {"key": key, "value": value}, seen, " + bidirectional")
        return (silu(x @ weights["gate"].mT) * mixed) @ weights["out"].mT

    def _read(self, x: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
        shared = silu(x @ weights["shared"].mT)
        query, key = (shared * weights["scales"][i] + weights["offsets"][i] for i in range(2))
        return query, key, silu(x @ weights["value"].mT)

    def _attend(self, query: Tensor, state: State, seen: Tensor, direction: str) -> Tensor:
        if self.normalizer == "softmax_plus":
            query = query * (seen.clamp(min=LEAST).to(torch.float64).log() / log(TRAINED)).to(query.dtype)[:, None]
            scheme = "rope" + direction
        else:
            scheme = "rope + squared_relu" + direction
        return attend(query[:, None], state["key"][:, None], state["value"][:, None], scheme)[:, 0]
