"""Mamba (S6): a state-space model whose step sizes, inputs and outputs depend on the token.

    x, z = W_in u;  x = silu(causal convolution of x over 4 tokens)
    Δ, B, C = W_x x;  Δ = softplus(W_Δ Δ + b)        A = −e^{A_log}
    h_t = e^{Δ_t A} ⊙ h_{t−1} + Δ_t B_t x_t        y_t = C_t · h_t + D ⊙ x_t
    out = W_out ( y ⊙ silu(z) )

Source: Gu and Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv:2312.00752, algorithm
2; initial values from the authors' code.
"""

from dataclasses import dataclass
from math import log
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu, softplus

from longspan.compute.recurrence.chunks import in_strips
from longspan.compute.recurrence.heads import summing
from longspan.compute.recurrence.scan import associative_scan
from longspan.slots import Matrices, Mixer, State, Weights, projection


@dataclass(frozen=True)
class Mamba(Mixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        states: N, numbers that each channel remembers.
        expand: inner channels per channel.
        width: tokens of the convolution.
        rank: of the step sizes; 0 for ⌈hidden / 16⌉.

    >>> Mamba().modes
    ('recurrent', 'chunk')
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"in": 1, "convolution": 0, "selection": 1, "size": 1, "out": 1})
    states: int = 16
    expand: int = 2
    width: int = 4
    rank: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("states", "expand", "width"):
            self.require_at_least(1, name)
        self.require_at_least(0, "rank")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Named as the formula names them; step sizes start between 0.001 and 0.1, A at −1 … −N."""
        hidden = num_heads * head_dim
        inner, rank = self.expand * hidden, self.rank or -(-hidden // 16)
        sizes = (torch.rand(inner, generator=generator) * (log(0.1) - log(0.001)) + log(0.001)).exp().clamp(min=1e-4)
        return {
            "in": projection(2 * inner, hidden, generator=generator),
            "convolution": projection(inner, self.width, generator=generator),
            "convolution_bias": torch.zeros(inner),
            "selection": projection(rank + 2 * self.states, inner, generator=generator),
            "size": (2 * torch.rand(inner, rank, generator=generator) - 1) * rank**-0.5,
            "size_bias": sizes + (-torch.expm1(-sizes)).log(),  # the inverse of softplus
            "a_log": torch.arange(1.0, self.states + 1).log().repeat(inner, 1),
            "skip": torch.ones(inner),
            "out": projection(hidden, inner, generator=generator),
        }

    def initial_state(self, batch: int, weights: Weights) -> State:
        """window: the last inputs of the convolution; h."""
        inner, states = weights["a_log"].shape
        like = weights["in"]
        return {
            "window": like.new_zeros(batch, weights["convolution"].shape[1] - 1, inner),
            "h": like.new_zeros(batch, inner, states, dtype=summing(like.dtype)),
        }

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """h ← e^{Δ A} h + Δ B x, then C · h."""
        read, gate = (x @ weights["in"].T).chunk(2, -1)
        window = torch.cat([state["window"], read[:, None]], 1)
        read = silu(torch.einsum("btd,dt->bd", window, weights["convolution"]) + weights["convolution_bias"])
        kept, gained, seen = _selected(read, weights)
        h = kept * state["h"] + gained
        y = torch.einsum("bdn,bn->bd", h, seen) + weights["skip"] * read
        return _gated(y, gate, weights), {"window": window[:, 1:], "h": h}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """The states of a chunk are a scan; only one chunk of them is kept at a time."""
        return in_strips(x, chunk, state, lambda strip, state: self._strip(strip, state, weights, chunk))

    def _strip(self, x: Tensor, state: State, weights: Weights, chunk: int) -> tuple[Tensor, State]:
        read, gate = (x @ weights["in"].T).chunk(2, -1)
        window = torch.cat([state["window"], read], 1)
        taps = weights["convolution"][:, None]
        convolved = torch.nn.functional.conv1d(window.mT, taps, weights["convolution_bias"], groups=len(taps))
        read, h, outputs = silu(convolved.mT), state["h"], []
        for some in read.split(chunk, 1):
            kept, gained, seen = _selected(some, weights)
            states = associative_scan(kept, gained, h)
            outputs.append(torch.einsum("btdn,btn->btd", states, seen) + weights["skip"] * some)
            h = states[:, -1]
        after = {"window": window[:, window.shape[1] - state["window"].shape[1] :], "h": h}
        return _gated(torch.cat(outputs, 1), gate, weights), after


def _selected(x: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """e^{Δ A} and Δ B x, (…, channels, states), and C, (…, states)."""
    states = weights["a_log"].shape[1]
    size, entering, seen = (x @ weights["selection"].T).split([weights["size"].shape[1], states, states], -1)
    exact = summing(x.dtype)
    size = softplus((size @ weights["size"].T + weights["size_bias"]).to(exact))[..., None]
    kept = (-size * weights["a_log"].to(exact).exp()).exp()
    return kept, size * x[..., None] * entering[..., None, :], seen.to(exact)


def _gated(y: Tensor, gate: Tensor, weights: Weights) -> Tensor:
    return (y * silu(gate)).to(weights["out"].dtype) @ weights["out"].T
