"""FLASH: gated attention in linear time, quadratic inside chunks of C tokens and linear between them.

    u, v, z = silu(W_u x), silu(W_v x), silu(W_z x)      q, k, q', k' = RoPE(z γ_i + β_i),  i = 0 … 3
    near_t = Σ_j max(0, q_t · k_j / √width)² v_j / n_t   over the n_t tokens j ≤ t of t's own chunk
    far_t  = q'_t · Σ_j k'_jᵀ v_j / m_t                  over the m_t tokens of all chunks before it
    y_t = W_o ( u_t ⊙ (near_t + far_t) )

The state is one matrix of width · values and the open chunk; it does not grow, whatever is read.
In both directions n_t is the number of tokens of the chunk, and far_t averages over all tokens, its own chunk included.

Source: Hua et al. 2022, "Transformer Quality in Linear Time", arXiv:2202.10447, section 3; kexue.fm/archives/8934.
Differs from the paper: it divides scores by n, which is 1/n² here (as in `squared_relu`), and has a learned bias of
relative positions inside chunks, where the rotation alone knows positions here. m_t is the number of tokens that are
added up: the article prints another one for the causal form, (g − 1) n / C for chunk g, whose outputs would depend on
the length of the text.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from longspan.compute.recurrence.heads import summing
from longspan.compute.rotate import rotate
from longspan.errors import SchemeError
from longspan.rotation.rope import RoPE
from longspan.slots import Mixer, State, Weights, projection

ROPE = RoPE(theta=10000.0)


@dataclass(frozen=True)
class FLASH(Mixer):
    """Neutral: chunk ≥ length, which is `gau(squared_relu)`.

    Arguments:
        chunk: C, tokens, counted from the start of the document.
        expansion: width of gate and values over that of the layer.

    >>> FLASH().modes
    ('recurrent', 'chunk', 'parallel')
    """

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
        and k'; out: (hidden, wide).

        Errors: SchemeError for an odd head dimension.
        """
        if head_dim % 2:
            raise SchemeError(f"{self.name} rotates pairs of channels: head_dim must be even, got {head_dim}")
        hidden, wide = num_heads * head_dim, self.expansion * num_heads * head_dim
        sizes = {"gate": (wide, hidden), "value": (wide, hidden), "shared": (head_dim, hidden), "out": (hidden, wide)}
        found = {name: projection(*shape, generator=generator) for name, shape in sizes.items()}
        return found | {"scales": torch.ones(4, head_dim), "offsets": torch.zeros(4, head_dim)}

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

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """One query over the keys of the open chunk, and over the sum of all chunks before it."""
        y, state = self._inside(x[:, None], weights, state)
        return y[:, 0], state

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
        near = _squared(query, key) / (place[:, None] - start + 1)
        far = far_query @ far_key.mT / start.clamp(min=1)
        pairs = torch.where(place >= start, near.tril(), far)
        return _gated(x, pairs @ value, weights)

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """Queries over their whole chunk, and over the mean of the whole document."""
        (query, key, far_query, far_key), value = _read(x, weights, torch.arange(x.shape[1], device=x.device)[None])
        chunks = zip(*(each.split(self.chunk, 1) for each in (query, key, value)), strict=True)
        near = torch.cat([_squared(q, k) @ v / k.shape[1] for q, k, v in chunks], 1)
        return _gated(x, near + far_query @ (far_key.mT @ value / x.shape[1]), weights)

    def _inside(self, x: Tensor, weights: Weights, state: State) -> tuple[Tensor, State]:
        """Read tokens of which the open chunk has room for all."""
        held, place = state["key"].shape[1], state["place"][:, None] + torch.arange(x.shape[1], device=x.device)
        (query, key, far_query, far_key), value = _read(x, weights, place)
        new = {"key": key, "far_key": far_key, "value": value}
        of_chunk = {name: torch.cat([state[name], tokens], 1) for name, tokens in new.items()}
        seen = torch.arange(x.shape[1], device=x.device)[:, None] + held + 1
        near = (_squared(query, of_chunk["key"]) / seen).tril(held) @ of_chunk["value"]
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


def _squared(query: Tensor, key: Tensor) -> Tensor:
    return (query @ key.mT * query.shape[-1] ** -0.5).relu().square()


def _gated(x: Tensor, mixed: Tensor, weights: Weights) -> Tensor:
    return (silu(x @ weights["gate"].mT) * mixed) @ weights["out"].mT
