"""Mega: a damped moving average of several speeds per channel, then gated attention with one head.

    h_t = (1 − α δ) h_{t−1} + α β x_t        ema_t = silu( Σ_n η h_t / √n + ω x_t )        n speeds
    z = silu(W_z ema);  q, k = κ_q z + μ_q, κ_k z + μ_k;  v = silu(W_v x);  r = silu(W_r ema);  φ = σ(W_φ ema)
    o = attention(q, k, v) with the bias ⟨R_i a, R_j b⟩        ĥ = silu( W_h ema + W_o (r ⊙ o) )
    out = φ ⊙ (ĥ − x)

With a chunk (Mega-chunk), attention sees the tokens of its own chunk of the text; the average carries what is older.

Source: Ma et al. 2022, "Mega: Moving Average Equipped Gated Attention", arXiv:2209.10655; which gate reads what,
initial values and the rotary bias from the authors' code.
Differs from the paper: the paper's layer returns φ ⊙ ĥ + (1 − φ) ⊙ x. The layer around a mixer adds x itself, so that
the mixer returns the difference; x is the layer's input as its norm leaves it. The text is read in one direction.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from longspan.compute.attend import attend
from longspan.compute.recurrence.chunks import in_strips
from longspan.compute.recurrence.convolution import causal_convolution
from longspan.compute.recurrence.heads import summing
from longspan.errors import SchemeError
from longspan.slots import Matrices, Mixer, State, Weights, geometric, projection

PLAIN = "nope"
"""Causal softmax attention without rotation: the bias comes in as more channels of queries and keys."""


@dataclass(frozen=True)
class Mega(Mixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        speeds: n, moving averages of each channel.
        width: channels of queries and keys; 0 for a quarter of the layer's.
        expand: value channels per channel.
        attention: "softmax", or the functions "relu2" and "laplace" of each score alone, for pictures.
        chunk: tokens of a chunk that attention sees; 0 for the whole text.

    >>> Mega(chunk=128).modes
    ('recurrent', 'chunk')
    """

    matrices: ClassVar[Matrices] = MappingProxyType(
        {"z": 1, "reset": 1, "blend": 1, "candidate": 1, "value": 1, "out": 1}
    )
    speeds: int = 16
    width: int = 0
    expand: int = 2
    attention: Literal["softmax", "relu2", "laplace"] = "softmax"
    chunk: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "speeds")
        self.require_at_least(1, "expand")
        self.require(self.width >= 0 and self.width % 2 == 0, "width", "even, at least 0")
        self.require_at_least(0, "chunk")
        self.require(self.attention in ("softmax", "relu2", "laplace"), "attention", "'softmax', 'relu2' or 'laplace'")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Named after the formula; alpha and delta before their sigmoid, affine (κ, μ) and bias (a, b) in pairs.

        Errors: SchemeError for a layer too narrow for queries of its quarter.
        """
        hidden = num_heads * head_dim
        width, value = self.width or hidden // 8 * 2, self.expand * hidden
        if not width:
            raise SchemeError(f"{self.name} needs 8 channels, or width=...: the layer has {hidden}")

        def normal(*shape: int, std: float) -> Tensor:
            return std * torch.randn(*shape, generator=generator)

        signs = 1.0 - 2 * (torch.arange(self.speeds) % 2)
        shapes = {"z": width, "reset": value, "blend": hidden, "candidate": hidden}
        return {
            "alpha": normal(hidden, self.speeds, std=0.2),
            "delta": normal(hidden, self.speeds, std=0.2),
            "beta": signs + normal(hidden, self.speeds, std=0.02),
            "eta": normal(hidden, self.speeds, std=1.0),
            "omega": normal(hidden, std=1.0),
            **{name: projection(size, hidden, generator=generator) for name, size in shapes.items()},
            "value": projection(value, hidden, generator=generator),
            "out": projection(hidden, value, generator=generator),
            "scale": 1.0 + normal(2, width, std=0.02),
            "shift": torch.zeros(2, width),
            "bias": normal(2, width, std=width**-0.5),
        }

    def initial_state(self, batch: int, weights: Weights) -> State:
        """average: h; key and value: those of the tokens in the open chunk, or of all."""
        hidden, speeds = weights["alpha"].shape
        like = weights["value"]
        return {
            "average": like.new_zeros(batch, hidden, speeds, dtype=summing(like.dtype)),
            "key": like.new_zeros(batch, 0, weights["scale"].shape[1]),
            "value": like.new_zeros(batch, 0, len(like)),
        }

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """h ← (1 − α δ) h + α β x; the query sees the keys of the open chunk."""
        kept, gained, seen = _speeds(weights)
        average = kept * state["average"] + gained * x[..., None]
        moved = silu((average * seen).sum(-1).to(x.dtype) + weights["omega"] * x)
        query, key, value = _read(x[:, None], moved[:, None], weights)
        keys, values = torch.cat([state["key"], key], 1), torch.cat([state["value"], value], 1)
        found = self._attend(query, keys, values, weights)[:, 0]
        if self.chunk and keys.shape[1] == self.chunk:
            keys, values = keys[:, :0], values[:, :0]
        return _gated(x, moved, found, weights), {"average": average, "key": keys, "value": values}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Averages are a convolution by FFT, a chunk at a time; whole chunks of attention are one batch."""
        averages = _Averages.of(weights, min(chunk, x.shape[1]))
        return in_strips(x, chunk, state, lambda strip, state: self._strip(strip, state, weights, averages))

    def _strip(self, x: Tensor, state: State, weights: Weights, averages: "_Averages") -> tuple[Tensor, State]:
        average, parts = state["average"], []
        for some in x.split(averages.tokens, 1):
            y, average = averages(some, average)
            parts.append(y)
        moved = silu(torch.cat(parts, 1) + weights["omega"] * x)
        query, key, value = _read(x, moved, weights)
        found, keys, values = self._in_chunks(query, key, value, state, weights)
        return _gated(x, moved, found, weights), {"average": average, "key": keys, "value": values}

    def _in_chunks(
        self, query: Tensor, key: Tensor, value: Tensor, state: State, weights: Weights
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attention of queries that go on with the open chunk; and the keys and values of the one open after them."""
        keys, values = torch.cat([state["key"], key], 1), torch.cat([state["value"], value], 1)
        held, total = state["key"].shape[1], keys.shape[1]
        if not self.chunk:
            return self._attend(query, keys, values, weights), keys, values
        first = min(self.chunk, total) if held else 0  # the end of the open chunk
        whole = first + (total - first) // self.chunk * self.chunk
        outputs = [self._attend(query[:, : first - held], keys[:, :first], values[:, :first], weights)] if held else []
        if whole > first:
            q = query[:, first - held : whole - held].reshape(-1, self.chunk, query.shape[2])
            k, v = (each[:, first:whole].reshape(-1, self.chunk, each.shape[2]) for each in (keys, values))
            y = self._attend(q, k, v, weights)
            outputs.append(y.reshape(len(query), -1, y.shape[2]))
        if total > whole:
            outputs.append(self._attend(query[:, whole - held :], keys[:, whole:], values[:, whole:], weights))
        open_from = 0 if held and first < self.chunk else whole
        return torch.cat(outputs, 1), keys[:, open_from:], values[:, open_from:]

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, weights: Weights) -> Tensor:
        """Queries are the last of the keys. The bias is a product of rotated vectors: more channels of both sides."""
        first = keys.shape[1] - query.shape[1]
        places = torch.arange(keys.shape[1], device=keys.device)
        left, right = (_rotated(vector, places).to(query.dtype) for vector in weights["bias"])
        left, right = left[first:].expand(len(query), -1, -1), right.expand(len(keys), -1, -1)
        if self.attention == "softmax":
            query = torch.cat([query * query.shape[-1] ** -0.5, left], -1)[:, None]
            key = torch.cat([keys, right], -1)[:, None]
            return attend(query, key, values[:, None], PLAIN, scale=1.0)[:, 0]
        seen = places <= places[first:, None]
        scores = query @ keys.mT / (places[first:, None] + 1).to(query) + left @ right.mT
        return torch.where(seen, _function(scores, self.attention), 0) @ values


def _speeds(weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """1 − α δ, α β and η / √n: (hidden, speeds)."""
    exact = summing(weights["alpha"].dtype)
    alpha, delta = weights["alpha"].to(exact).sigmoid(), weights["delta"].to(exact).sigmoid()
    return 1 - alpha * delta, alpha * weights["beta"], weights["eta"].to(exact) * alpha.shape[-1] ** -0.5


@dataclass(frozen=True, eq=False)
class _Averages:
    """Σ_n η h_t / √n of so many tokens, or fewer, and the last h.

    Arguments:
        powers: (1 − α δ)^t from t = 0 on, (tokens + 1, hidden, speeds).
        gained: α β.
        seen: η / √n.
        kernel: of the convolution, (tokens, hidden).
    """

    powers: Tensor
    gained: Tensor
    seen: Tensor
    kernel: Tensor

    @classmethod
    def of(cls, weights: Weights, tokens: int) -> "_Averages":
        kept, gained, seen = _speeds(weights)
        powers = kept ** torch.arange(tokens + 1, device=kept.device)[:, None, None]
        return cls(powers, gained, seen, (powers[:-1] * (gained * seen)).sum(-1))

    @property
    def tokens(self) -> int:
        return len(self.kernel)

    def __call__(self, x: Tensor, average: Tensor) -> tuple[Tensor, Tensor]:
        exact, tokens = x.to(self.powers), x.shape[1]
        y = causal_convolution(exact, self.kernel[:tokens])
        y = y + torch.einsum("tdn,bdn->btd", self.powers[1 : tokens + 1], average * self.seen)
        entered = torch.einsum("tdn,btd->bdn", self.powers[:tokens].flip(0), exact) * self.gained
        return y.to(x.dtype), self.powers[tokens] * average + entered


def _read(x: Tensor, moved: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    z = silu(moved @ weights["z"].T)
    query, key = (z * scale + shift for scale, shift in zip(weights["scale"], weights["shift"], strict=True))
    return query, key, silu(x @ weights["value"].T)


def _gated(x: Tensor, moved: Tensor, found: Tensor, weights: Weights) -> Tensor:
    reset = silu(moved @ weights["reset"].T)
    candidate = silu(moved @ weights["candidate"].T + (reset * found) @ weights["out"].T)
    return (moved @ weights["blend"].T).sigmoid() * (candidate - x)


def _rotated(vector: Float[Tensor, " width"], places: Tensor) -> Float[Tensor, "tokens width"]:
    """A vector rotated to all places, first with second half."""
    angle = places[:, None] * geometric(10000.0, len(vector)).to(places.device)
    cosine, sine = angle.cos().to(vector), angle.sin().to(vector)
    first, second = vector.chunk(2)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def _function(scores: Tensor, name: str) -> Tensor:
    if name == "relu2":
        return torch.relu(scores).square()
    mean, deviation = 0.5**0.5, (4 * torch.pi) ** -0.5
    return 0.5 * (1 + torch.erf((scores - mean) / (deviation * 2**0.5)))
