"""RWKV-4: an average of values whose weights are exponentials of keys and fall with time, one rate for each channel.

    wkv_t = ( Σ_{i<t} e^{−(t−1−i) w + k_i} v_i + e^{u + k_t} v_t ) / ( the same without v )        w = e^{decay} > 0
    out = W_O ( σ(r_t) ⊙ wkv_t )
    r, k, v = W_r (μ_r x_t + (1 − μ_r) x_{t−1}), and so on

Source: Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era", arXiv:2305.13048, and its authors' code,
version 4; kexue.fm/archives/9554.
Differs from the paper: this is the time mixing alone; the layer around it keeps its own feed-forward network. Initial
values depend on the layer's depth, which is an argument here.
"""

from dataclasses import dataclass
from math import log
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.recurrence.heads import summing
from longspan.compute.recurrence.scan import associative_scan
from longspan.slots import Matrices, Mixer, State, Weights, projection

NAMES = ("receptance", "key", "value")
LOWEST = -1e38
"""The largest exponent before the first token."""


@dataclass(frozen=True)
class RWKV4(Mixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        depth: where the layer is, from 0 (first) to 1 (last); initial decays and token shifts depend on it.

    >>> RWKV4().modes
    ('recurrent', 'chunk')
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"receptance": 1, "key": 1, "value": 1, "out": 1})
    depth: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.depth <= 1, "depth", "0 … 1")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """receptance, key, value and out: (hidden, hidden); shift_* (μ), decay (ln w) and first (u): (hidden)."""
        hidden = num_heads * head_dim
        place = torch.arange(hidden)
        share, rest = place / hidden, 1 - self.depth
        zigzag = ((place + 1) % 3 - 1) * 0.5
        return {name: projection(hidden, hidden, generator=generator) for name in (*NAMES, "out")} | {
            "shift_key": share**rest,
            "shift_value": share**rest + 0.3 * self.depth,
            "shift_receptance": share ** (0.5 * rest),
            "decay": -5 + 8 * (place / max(1, hidden - 1)) ** (0.7 + 1.3 * self.depth),
            "first": log(0.3) + zigzag,
        }

    def initial_state(self, batch: int, weights: Weights) -> State:
        """last: x_{t−1}; sums: (numerator, denominator), divided by e^highest."""
        like = weights["key"]
        sums = like.new_zeros(batch, 2, len(like), dtype=summing(like.dtype))
        return {"last": like.new_zeros(batch, len(like)), "sums": sums, "highest": sums[:, 0] + LOWEST}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """The weight of this token for this output is e^{u + k}, and for later ones e^k, which falls by e^{−w}."""
        receptance, key, value = self._read(x, state["last"], weights)
        fall, first = weights["decay"].exp().to(key), weights["first"].to(key)
        y = _share(state["sums"], state["highest"], key + first, value)
        highest = torch.maximum(state["highest"] - fall, key).detach()
        kept, gained = (state["highest"] - fall - highest).exp(), (key - highest).exp()
        sums = kept[:, None] * state["sums"] + torch.stack([gained * value, gained], 1)
        return self._gated(receptance, y, weights), {"last": x, "sums": sums, "highest": highest}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Numerators and denominators are a scan, relative to the largest exponent so far."""
        before = torch.cat([state["last"][:, None], x[:, :-1]], 1)
        receptance, key, value = self._read(x, before, weights)
        fall, first = weights["decay"].exp().to(key), weights["first"].to(key)
        sums, highest, outputs = state["sums"], state["highest"], []
        for k, v in zip(key.split(chunk, 1), value.split(chunk, 1), strict=True):
            fallen = torch.arange(1, k.shape[1] + 1, device=k.device)[:, None] * fall
            reached = (torch.maximum((k + fallen).cummax(1).values, highest[:, None]) - fallen).detach()
            earlier = torch.cat([highest[:, None], reached[:, :-1]], 1)
            kept, gained = (earlier - fall - reached).exp(), (k - reached).exp()
            after = associative_scan(kept[:, :, None], torch.stack([gained * v, gained], 2), sums)
            known = torch.cat([sums[:, None], after[:, :-1]], 1)
            outputs.append(_share(known, earlier, k + first, v))
            sums, highest = after[:, -1], reached[:, -1]
        y = self._gated(receptance, torch.cat(outputs, 1), weights)
        return y, {"last": x[:, -1], "sums": sums, "highest": highest}

    def _read(self, x: Tensor, before: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
        mixed = (torch.lerp(before, x, weights[f"shift_{name}"].expand_as(x)) @ weights[name].T for name in NAMES)
        receptance, key, value = (each.to(summing(x.dtype)) for each in mixed)
        return receptance, key, value

    def _gated(self, receptance: Tensor, y: Tensor, weights: Weights) -> Tensor:
        return (receptance.sigmoid() * y).to(weights["out"].dtype) @ weights["out"].T


def _share(sums: Tensor, highest: Tensor, exponent: Tensor, value: Tensor) -> Tensor:
    """The average of what is known, (…, 2, hidden), and of one more value."""
    largest = torch.maximum(highest, exponent).detach()
    kept, gained = (highest - largest).exp(), (exponent - largest).exp()
    return (kept * sums[..., 0, :] + gained * value) / (kept * sums[..., 1, :] + gained)
