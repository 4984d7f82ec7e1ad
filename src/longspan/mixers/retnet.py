"""RetNet: linear attention without a denominator, rotated by position, with a decay of its own for each head.

    S_t = γ S_{t−1} + k_tᵀ v_t        y_t = q_t S_t        γ_h = 1 − 2^{−5−h},  h = 0 … H − 1
    out = W_O ( swish(x W_G) ⊙ norm_h(y) )        q, k rotated by position · θ_i,  θ_i from 1 to 10000⁻¹, evenly in log

Source: Sun et al. 2023, "Retentive Network", arXiv:2307.08621, eq. 5–8; the authors' code in torchscale.
Differs from the paper: the row normalizers of the authors' parallel and chunked forms are left out. They rescale a
whole row, which the norm of each head undoes, up to its ε = 1e-6.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.recurrence.chunks import chunk_recurrence, in_strips
from longspan.compute.recurrence.heads import from_heads, summing, to_heads
from longspan.slots import Matrices, Mixer, State, Weights, projection

EPSILON = 1e-6


@dataclass(frozen=True)
class RetNet(Mixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        expand: value channels per channel.
        theta: base of the rotation's frequencies.

    >>> RetNet().modes
    ('recurrent', 'chunk', 'parallel')
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"query": 2, "key": 2, "value": 2, "gate": 2, "out": 1})
    expand: int = 2
    theta: float = 10000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "expand")
        self.require(self.theta > 0, "theta", "above 0")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query and key: (heads, head_dim, hidden); value and gate: (heads, expand · head_dim, hidden); out.

        Errors: SchemeError for an odd head dimension.
        """
        self.require_pairs(head_dim)
        hidden, wide = num_heads * head_dim, self.expand * head_dim
        shapes = {"query": head_dim, "key": head_dim, "value": wide, "gate": wide}
        found = {name: projection(num_heads, size, hidden, generator=generator) for name, size in shapes.items()}
        fan_in = self.expand * hidden
        return found | {"out": projection(hidden, num_heads, wide, generator=generator, fan_in=fan_in)}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: S; place: the number of tokens read."""
        key, value = weights["key"], weights["value"]
        shape = batch, len(key), key.shape[1], value.shape[1]
        place = torch.zeros(batch, dtype=torch.int64, device=key.device)
        return {"sum": key.new_zeros(shape, dtype=summing(key.dtype)), "place": place}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """S ← γ S + kᵀ v, then q S."""
        query, key, value = self._read(x, weights, state["place"][:, None])
        total = decays(query)[:, None, None] * state["sum"] + key[..., None] * value[..., None, :]
        y = (query[..., None, :] @ total)[..., 0, :]
        return self._gated(x, y, weights), {"sum": total, "place": state["place"] + 1}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Products of whole chunks, and S between them."""

        def read(strip: Tensor, state: State) -> tuple[Tensor, State]:
            places = state["place"][:, None] + torch.arange(strip.shape[1], device=x.device)
            query, key, value = self._read(strip, weights, places[:, None])
            y, total = chunk_recurrence(query, key, value, decays(query), state["sum"], chunk)
            return self._gated(strip, y, weights), {"sum": total, "place": state["place"] + strip.shape[1]}

        return in_strips(x, chunk, state, read)

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """(Q Kᵀ ⊙ D) V."""
        place = torch.arange(x.shape[1], device=x.device)
        query, key, value = self._read(x, weights, place[None, None])
        falls = decays(query)[:, None, None] ** (place[:, None] - place).clamp(min=0)
        return self._gated(x, (query @ key.mT * falls).tril() @ value, weights)

    def _read(self, x: Tensor, weights: Weights, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (to_heads(x, weights[name]) for name in ("query", "key", "value"))
        return rotated(query, place, self.theta), rotated(key, place, self.theta) * key.shape[-1] ** -0.5, value

    def _gated(self, x: Tensor, y: Tensor, weights: Weights) -> Tensor:
        normed = y * (y.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
        return from_heads(torch.nn.functional.silu(to_heads(x, weights["gate"])) * normed, weights["out"])


def decays(like: Float[Tensor, "batch heads *axes"]) -> Float[Tensor, " heads"]:
    """γ of each head."""
    return 1 - 2.0 ** (-5 - torch.arange(like.shape[1], dtype=like.dtype, device=like.device))


def rotated(
    x: Float[Tensor, "batch heads *tokens width"], place: Int64[Tensor, "*places"], theta: float
) -> Float[Tensor, "batch heads *tokens width"]:
    """Neighboring channels as pairs, rotated by place · θ_i; angles are float64, so that far places stay exact."""
    steps = torch.linspace(0, 1, x.shape[-1] // 2, dtype=torch.float64, device=x.device)
    angle = place[..., None].double() * theta**-steps
    cosine, sine = angle.cos().to(x), angle.sin().to(x)
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], -1).flatten(-2)
