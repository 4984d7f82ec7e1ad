"""LRU: a linear recurrence of complex numbers, each with a rate and a rotation of its own, stable by construction.

    λ = exp( −e^ν + i e^θ )        h_t = λ ⊙ h_{t−1} + e^γ ⊙ (B x_t)        y_t = Re(C h_t) + D ⊙ x_t
    out = (W_1 g) ⊙ σ(W_2 g),  g = gelu(y)

Source: Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences", arXiv:2303.06349; initial
values from the public minimal-LRU; kexue.fm/archives/9554.
"""

from dataclasses import dataclass
from math import pi
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn.functional import gelu

from longspan.compute.recurrence.heads import summing
from longspan.compute.recurrence.scan import associative_scan
from longspan.slots import Matrices, Mixer, State, Weights, projection


@dataclass(frozen=True)
class LRU(Mixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        states: N, complex numbers that the layer remembers; 0 for as many as channels.
        nearest: the smallest |λ| at the start of training, 0 … 1; kexue.fm/archives/9554 takes 0.9 for text.
        farthest: the largest |λ| at the start; kexue.fm/archives/9554 takes 0.999.
        phase: the largest angle of λ at the start, radians; the paper takes π/10 for the longest texts.

    >>> LRU().modes
    ('recurrent', 'chunk')
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"back": 1, "open": 1, "shut": 1})
    states: int = 0
    nearest: float = 0.0
    farthest: float = 1.0
    phase: float = 2 * pi

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(0, "states")
        self.require(0 <= self.nearest < 1, "nearest", "at least 0 and below 1")
        self.require(self.nearest < self.farthest <= 1, "farthest", f"above nearest ({self.nearest:g}) and at most 1")
        self.require(0 < self.phase <= 2 * pi, "phase", "above 0 and at most 2π")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """nu, theta, gamma: (states); in (B): (2, states, hidden), real and imaginary; back (C): (hidden, 2, states);
        skip (D); open and shut (W_1, W_2).
        """
        hidden = num_heads * head_dim
        states = self.states or hidden
        first, second = torch.rand(2, states, generator=generator).clamp(min=1e-6).unbind(0)
        low, high = self.nearest**2, self.farthest**2
        nu = (-0.5 * (first * (high - low) + low).log()).clamp(min=1e-7).log()
        return {
            "nu": nu,
            "theta": (self.phase * second).log(),
            "gamma": 0.5 * (-torch.expm1(-2 * nu.exp())).log(),  # ln √(1 − |λ|²)
            "in": projection(2, states, hidden, generator=generator, fan_in=2 * hidden),
            "back": projection(hidden, 2, states, generator=generator, fan_in=states),
            "skip": torch.randn(hidden, generator=generator),
            "open": projection(hidden, hidden, generator=generator),
            "shut": projection(hidden, hidden, generator=generator),
        }

    def initial_state(self, batch: int, weights: Weights) -> State:
        """h: (batch, states, 2), real and imaginary."""
        nu = weights["nu"]
        return {"h": nu.new_zeros(batch, len(nu), 2, dtype=summing(nu.dtype))}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """h ← λ h + e^γ B x, then Re(C h) + D x."""
        h = rates(weights) * torch.view_as_complex(state["h"]) + _entering(x, weights)
        return _out(h, x, weights), {"h": torch.view_as_real(h)}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """The states of a chunk are a scan."""
        h, outputs = torch.view_as_complex(state["h"]), []
        for some in x.split(chunk, 1):
            states = associative_scan(rates(weights), _entering(some, weights), h)
            outputs.append(_out(states, some, weights))
            h = states[:, -1]
        return torch.cat(outputs, 1), {"h": torch.view_as_real(h)}


def rates(weights: Weights) -> Complex[Tensor, " states"]:
    """λ."""
    nu, theta = (weights[name].to(summing(weights[name].dtype)) for name in ("nu", "theta"))
    return torch.polar((-nu.exp()).exp(), theta.exp())


def _entering(x: Tensor, weights: Weights) -> Tensor:
    exact = summing(x.dtype)
    both = torch.einsum("...d,cnd->...nc", x, weights["in"]).to(exact)
    return torch.view_as_complex((both * weights["gamma"].to(exact).exp()[:, None]).contiguous())


def _out(h: Tensor, x: Tensor, weights: Weights) -> Tensor:
    back = weights["back"].to(h.real.dtype)
    y = (h.real @ back[:, 0].T - h.imag @ back[:, 1].T).to(x.dtype) + weights["skip"] * x
    g = gelu(y)
    return (g @ weights["open"].T) * (g @ weights["shut"].T).sigmoid()
