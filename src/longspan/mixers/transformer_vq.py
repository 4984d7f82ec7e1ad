"""Transformer-VQ: softmax attention in linear time, because far keys are codes of a codebook and are added up by code.

    q_t = LN(W_q x_t) d^{−1/4}      k_t = LN(W_k x_t) d^{−1/4}      k̂_t = c_s, the nearest code
    score(t, j) = (q_t + u) · k̂_j + [t − j ≤ M] (q_t + w) · r_{t−j}        v_t = silu(W_v x_t)      g_t = silu(W_g x_t)
    y_t = W_o ( g_t ⊙ Σ_{j ≤ t} softmax_j(score) v_j )

The bias is zero beyond M, so that all older tokens of a code share a score: Σ e^{score} v = e^{(q+u)·c_s} n_s · mean v.
The state is M keys and values, and for each of S codes a count and a mean; it does not grow, whatever is read.

Gradients go through the codes of near keys as if there were no rounding, and none goes to the codebook, which follows
the keys as `longspan.quantizers.vq` does; β ‖k_t − c_s‖² in the loss keeps keys near their codes.

Source: Lingle 2023, "Transformer-VQ", arXiv:2309.16354, section 3; r = W_r sinusoid(distance), u and w as in
Transformer-XL; kexue.fm/archives/9844.
Differs from the paper: codes that have fallen out of use restart at keys of the step.
"""

from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import layer_norm, silu

from longspan.quantizers.vq import VQ
from longspan.slots import FollowingMixer, GatedUnit, Matrices, State, Weights, projection


@dataclass(frozen=True)
class TransformerVQ(GatedUnit, FollowingMixer):
    """Neutral: none; with a code for every key it is attention with a relative bias.

    Arguments:
        codes: S, of the codebook.
        window: M, distances with a bias of their own.
        expansion: width of gate and values over that of the layer.
        feed_forward: whether the layer keeps its feed-forward network; the paper has none.
        decay: γ, of the codebook's averages, per training step.
        beta: β, the share of the commitment in the loss.
    """

    following: ClassVar[tuple[str, ...]] = ("code_count", "code_sum")
    matrices: ClassVar[Matrices] = MappingProxyType(
        {"query": 1, "key": 1, "value": 1, "gate": 1, "out": 1, "relative": 1}
    )
    codes: int = 512
    window: int = 128
    expansion: int = 2
    decay: float = 0.99
    beta: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("codes", "window", "expansion"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        self.require(0 <= self.decay < 1, "decay", "at least 0 and below 1")
        self.require(self.beta >= 0, "beta", "at least 0")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query, key: (head_dim, hidden); value, gate: (wide, hidden); out: (hidden, wide); relative: (head_dim,
        head_dim), of the sinusoids; content_bias, place_bias: (head_dim); code_count: (codes) and code_sum: (codes,
        head_dim), whose quotient is the codebook.
        """
        hidden, wide = num_heads * head_dim, self.expansion * num_heads * head_dim
        sizes = {
            "query": (head_dim, hidden),
            "key": (head_dim, hidden),
            "value": (wide, hidden),
            "gate": (wide, hidden),
        }
        sizes |= {"out": (hidden, wide), "relative": (head_dim, head_dim)}
        found = {name: projection(*shape, generator=generator) for name, shape in sizes.items()}
        codebook = torch.randn(self.codes, head_dim, generator=generator) * head_dim**-0.25
        zeros = {name: torch.zeros(head_dim) for name in ("content_bias", "place_bias")}
        return found | zeros | {"code_count": torch.ones(self.codes), "code_sum": codebook}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """key, value: (batch, tokens, …), of the last M tokens, and code: (batch, tokens), the codes of those keys;
        count: (batch, codes); mean: (batch, codes, wide).
        """
        key, value = weights["key"], weights["value"]
        exact = torch.promote_types(key.dtype, torch.float32)  # float16 stops counting at 2048
        return {
            "key": key.new_zeros(batch, 0, len(key)),
            "value": value.new_zeros(batch, 0, len(value)),
            "code": torch.zeros(batch, 0, dtype=torch.int64, device=key.device),
            "count": key.new_zeros(batch, len(weights["code_count"]), dtype=exact),
            "mean": value.new_zeros(batch, len(weights["code_count"]), len(value), dtype=exact),
        }

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Blocks of queries, each over the window before it and the codes of everything older."""
        outputs = []
        for some in x.split(chunk, 1):
            y, state = self._block(some, weights, state)
            outputs.append(y)
        return torch.cat(outputs, 1), state

    def observed(self, x: Float[Tensor, "*axes hidden"], weights: Weights) -> Float[Tensor, "*axes head_dim"]:
        """Keys before they become codes."""
        return _normed(x @ weights["key"].mT)

    def penalty(self, observed: Float[Tensor, "tokens width"], weights: Weights) -> Float[Tensor, " tokens"]:
        """β times the squared distance of each key from its code."""
        return self.beta * self._quantizer.quantize(observed, book_of(weights))[2]

    def followed(
        self, observed: Float[Tensor, "tokens width"], weights: Weights, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Counts and sums move towards those of the step's keys."""
        book = self._quantizer.update(observed, book_of(weights), generator)
        return {f"code_{name}": value for name, value in book.items()}

    @property
    def _quantizer(self) -> VQ:
        return VQ(self.codes, self.decay)

    def _block(self, x: Tensor, weights: Weights, state: State) -> tuple[Tensor, State]:
        new, book = x.shape[1], self._quantizer.vectors(book_of(weights))
        query = _normed(x @ weights["query"].mT)
        observed = self.observed(x, weights)
        key = torch.cat([state["key"], observed], 1)
        value = torch.cat([state["value"], silu(x @ weights["value"].mT)], 1)
        code = torch.cat([state["code"], self._quantizer.nearest(observed, book_of(weights))], 1)
        tokens = key.shape[1]
        place = torch.arange(tokens, device=x.device)
        distance = place[tokens - new :, None] - place
        near, asked = (distance >= 0) & (distance <= self.window), query + weights["content_bias"]
        scores = torch.where(near, asked @ (key + (book[code] - key).detach()).mT, asked @ book[code].mT)
        scores = scores + self._biases(query, distance, weights).masked_fill(~near, 0.0)
        scores = scores.masked_fill(distance < 0, -inf)
        far = asked @ book.mT + state["count"].log().to(x.dtype)[:, None]
        shares = torch.cat([scores, far], -1).softmax(-1)
        mixed = shares[..., :tokens] @ value + shares[..., tokens:] @ state["mean"].to(x.dtype)
        y = (silu(x @ weights["gate"].mT) * mixed) @ weights["out"].mT
        return y, self._aged(key, value, code, state)

    def _biases(self, query: Tensor, distance: Tensor, weights: Weights) -> Tensor:
        """(q + w) · r of each pair, for distances of the window."""
        reach = torch.arange(self.window + 1, device=query.device, dtype=query.dtype)
        width = query.shape[-1]
        rates = 1e4 ** (-torch.arange(0, width, 2, device=query.device, dtype=query.dtype) / width)
        angles = reach[:, None] * rates
        relative = torch.cat([angles.sin(), angles.cos()], -1)[:, :width] @ weights["relative"].mT
        every = (query + weights["place_bias"]) @ relative.mT
        return every.gather(-1, distance.clamp(0, self.window).expand(len(query), -1, -1))

    def _aged(self, key: Tensor, value: Tensor, code: Tensor, state: State) -> State:
        """Keep the last M tokens, and add older ones to their codes."""
        leaving = max(0, key.shape[1] - self.window)
        if not leaving:
            return state | {"key": key, "value": value, "code": code}
        old, count, mean = code[:, :leaving], state["count"], state["mean"]
        grown = count.scatter_add(1, old, count.new_ones(old.shape))
        joining = value[:, :leaving].to(mean.dtype)
        total = (mean * count[..., None]).scatter_add(1, old[..., None].expand_as(joining), joining)
        rest = {"key": key[:, leaving:], "value": value[:, leaving:], "code": code[:, leaving:]}
        return rest | {"count": grown, "mean": total / grown.clamp(min=1)[..., None]}


def book_of(weights: Weights) -> dict[str, Tensor]:
    """Return counts and sums as `VQ` takes them; no gradient goes to them."""
    return {name: weights[f"code_{name}"].detach() for name in ("count", "sum")}


def _normed(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:]) * x.shape[-1] ** -0.25
