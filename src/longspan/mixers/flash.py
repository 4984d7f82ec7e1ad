"""FLASH: gated attention in linear time, quadratic inside chunks of C tokens and linear between them.

    u, v, z = silu(W_u x), silu(W_v x), silu(W_z x)      q, k, q', k' = RoPE(z γ_i + β_i),  i = 0 … 3
    near_t = Σ_j max(0, q_t · k_j / √width + b_{t−j})² v_j / n_t      over the n_t tokens j ≤ t of t's own chunk
    far_t  = q'_t · Σ_j k'_jᵀ v_j / m_t                               over the m_t tokens of all chunks before it
    y_t = W_o ( u_t ⊙ (near_t + far_t) )                                b_{t−j} = RoPE(a)_t · RoPE(c)_j, a and c learned

The state is one matrix of width · values and the open chunk; it does not grow, whatever is read.
In both directions n_t is the number of tokens of the chunk, and far_t averages over all tokens, its own chunk included.

Source: Hua et al. 2022, "Transformer Quality in Linear Time", arXiv:2202.10447, section 3; kexue.fm/archives/8934.
Differs from the paper: it divides scores by n, which is 1/n² here (as in `squared_relu`). Its bias is a table of
distances in chunks of up to 512 tokens and two rotated vectors in longer ones; here it is the latter in all. m_t is the
number of tokens that are added up: the article prints another one for the causal form, (g − 1) n / C for chunk g, whose
outputs would depend on the length of the text.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from longspan.compute.recurrence.heads import summing
from longspan.compute.rotate import rotate
from longspan.rotation.rope import RoPE
from longspan.slots import GatedUnit, Matrices, State, Weights, projection

ROPE = RoPE(theta=10000.0)
SPREAD = 0.02
"""The standard deviation of the bias's vectors at the start, as in the paper."""


@dataclass(frozen=True)
class FLASH(GatedUnit):
    """Neutral: chunk ≥ length and a bias of zero, which is `gau(squared_relu)`.

    Arguments:
        chunk: C, tokens, counted from the start of the document.
        expansion: width of gate and values over that of the layer.
        feed_forward: whether the layer keeps its feed-forward network; the paper has none.

    >>> FLASH().modes
    ('recurrent', 'chunk', 'parallel')
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"gate": 1, "value": 1, "shared": 1, "out": 1})
    chunk: int = 256
    expansion: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "chunk")
        self.require_at_least(1, "expansion")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """gate, value: (wide, hidden); shared: (head_dim, hidden); scales, offsets: (4, head_dim), γ and β of q, k, q'
        and k'; bias: (2, head_dim), the two vectors; out: (hidden, wide).

        Errors: SchemeError for an odd head dimension.
        """
        self.require_pairs(head_dim)
        hidden, wide = num_heads * head_dim, self.expansion * num_heads * head_dim
        sizes = {"gate": (wide, hidden), "value": (wide, hidden), "shared": (head_dim, hidden), "out": (hidden, wide)}
        found = {name: projection(*shape, generator=generator) for name, shape in sizes.items()}
        bias = SPREAD * torch.randn(2, head_dim, generator=generator)
        return found | {"scales": torch.ones(4, head_dim), "offsets": torch.zeros(4, head_dim), "bias": bias}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: Σ k'ᵀ v of the chunks before the open one; key, far_key and value: of the tokens in the open one;
        place: the number of tokens read.
        """
        like, width, wide = weights["shared"], len(weights["shared"]), len(weights["value"])
        return {
            "sum": like.new_zeros(batch, width, wide, dtype=summing(like.dtype)),
            "key": like.new_zeros(batch, 0, width),
            "far_key": like.new_zeros(batch, 0, width),
            "value": like.new_zeros(batch, 0, wide),
            "place": torch.zeros(batch, dtype=torch.int64, device=like.device),
        }

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """The rest of the open chunk, then one chunk of C tokens after the other."""
        outputs = []
        while x.shape[1]:
            room = min(chunk, self.chunk - state["key"].shape[1])
            y, state = self._inside(x[:, :room], weights, state)
            outputs.append(y)
            x = x[:, room:]
        return torch.cat(outputs, 1), state

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """One matrix of all pairs: squared scores inside a chunk, plain products between chunks."""
        place = torch.arange(x.shape[1], device=x.device)
        (query, key, far_query, far_key), value = _read(x, weights, place[None])
        start = (place // self.chunk * self.chunk)[:, None]
        near = _squared(query, key, weights, 0) / (place[:, None] - start + 1)
        far = far_query @ far_key.mT / start.clamp(min=1)
        pairs = torch.where(place >= start, near.tril(), far)
        return _gated(x, pairs @ value, weights)

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Queries over their whole chunk, and over the mean of the whole document."""
        (query, key, far_query, far_key), value = _read(x, weights, torch.arange(x.shape[1], device=x.device)[None])
        chunks = zip(*(each.split(self.chunk, 1) for each in (query, key, value)), strict=True)
        near = torch.cat([_squared(q, k, weights, 0) @ v / k.shape[1] for q, k, v in chunks], 1)
        return _gated(x, near + far_query @ (far_key.mT @ value / x.shape[1]), weights)

    def _inside(self, x: Tensor, weights: Weights, state: State) -> tuple[Tensor, State]:
        """Read tokens of which the open chunk has room for all."""
        held, place = state["key"].shape[1], state["place"][:, None] + torch.arange(x.shape[1], device=x.device)
        (query, key, far_query, far_key), value = _read(x, weights, place)
        new = {"key": key, "far_key": far_key, "value": value}
        of_chunk = {name: torch.cat([state[name], tokens], 1) for name, tokens in new.items()}
        seen = torch.arange(x.shape[1], device=x.device)[:, None] + held + 1
        near = (_squared(query, of_chunk["key"], weights, held) / seen).tril(held) @ of_chunk["value"]
        total, before = state["sum"], (place[:, :1, None] - held).clamp(min=1)
        far = (far_query.to(total.dtype) @ (total / before)).to(near.dtype)
        if held + x.shape[1] == self.chunk:
            total = total + of_chunk["far_key"].to(total.dtype).mT @ of_chunk["value"].to(total.dtype)
            of_chunk = {name: tokens[:, :0] for name, tokens in of_chunk.items()}
        after = of_chunk | {"sum": total, "place": state["place"] + x.shape[1]}
        return _gated(x, near + far, weights), after


def _read(x: Tensor, weights: Weights, place: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """q, k, q' and k', rotated to their places, and v."""
    shared = silu(x @ weights["shared"].mT)[:, None]
    four = shared * weights["scales"][:, None] + weights["offsets"][:, None]  # (batch, 4, tokens, width)
    return rotate(four, place[..., None], ROPE.spectrum(four.shape[-1])).unbind(1), silu(x @ weights["value"].mT)


def _squared(query: Tensor, key: Tensor, weights: Weights, before: int) -> Tensor:
    """max(0, q · k / √width + b)², where so many of the keys come before the first query."""
    both = weights["bias"][None, :, None].expand(-1, -1, key.shape[1], -1)
    place = torch.arange(key.shape[1], device=key.device)[None, :, None]
    first, second = rotate(both, place, ROPE.spectrum(key.shape[-1]))[0]
    bias = first[before : before + query.shape[1]] @ second.mT
    return (query @ key.mT * query.shape[-1] ** -0.5 + bias).relu().square()


def _gated(x: Tensor, mixed: Tensor, weights: Weights) -> Tensor:
    return (silu(x @ weights["gate"].mT) * mixed) @ weights["out"].mT
