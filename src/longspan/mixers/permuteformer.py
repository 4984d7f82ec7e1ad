"""PermuteFormer: linear attention whose features are permuted and shrink with every step of distance.

    S_t = r Π S_{t−1} + φ(k_t) v_tᵀ        y_t = φ(q_t)ᵀ S_t / φ(q_t)ᵀ z_t,  z as S
    weight(i, j) ∝ r^{i−j} φ(q_i)ᵀ Π^{i−j} φ(k_j)        φ(x) = relu(x) + 1e-3,  r_h = σ(2 + 3 h / H)

Π is a random permutation of each head, the inverse of the one by which the authors' code permutes both sides.

Source: Chen 2021, "PermuteFormer: Efficient Relative Position Encoding for Long Sequences", arXiv:2109.02377;
r, φ and its constant from the authors' code.
Differs from the paper: the code scales keys by r^{−j}, which overflows after a few thousand tokens; the state decays
instead. The code of the language model leaves out the denominator: that is normalized=False.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.recurrence.chunks import STRIP, chunk_recurrence, in_strips
from longspan.compute.recurrence.feature_attention import with_one
from longspan.compute.recurrence.heads import from_heads, summing, to_heads
from longspan.memo import real_numbers, remember
from longspan.slots import HeadsMixer, State, Weights

NAMES = ("query", "key", "value")
SMALL = 1e-3


@dataclass(frozen=True)
class PermuteFormer(HeadsMixer):
    """Neutral: none; it replaces softmax attention.

    Arguments:
        seed: of the permutations.
        normalized: whether weights are divided by the sum of their row.

    >>> PermuteFormer().modes
    ('recurrent', 'chunk', 'parallel')
    """

    seed: int = 0
    normalized: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.seed < 2**62, "seed", "0 … 2^62")

    def initial_state(self, batch: int, weights: Weights) -> State:
        """sum: S, with z as its last column."""
        value = weights["value"]
        heads, width, _ = value.shape
        return {"sum": value.new_zeros(batch, heads, width, width + 1, dtype=summing(value.dtype))}

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """S ← r Π S + φ(k) vᵀ, then φ(q)ᵀ S."""
        query, key, value = self._read(x, weights)
        back = self._powers(query, 2)[:, 1].argsort(-1)  # Π undoes the permutation of one step
        moved = state["sum"].gather(2, back[None, :, :, None].expand_as(state["sum"]))
        total = ratios(moved)[:, None, None] * moved + key[..., None] * value[..., None, :]
        y = self._divided((query[..., None, :] @ total)[..., 0, :])
        return from_heads(y, weights["out"]), {"sum": total}

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Both sides are permuted by their place in a strip of chunks; after it the frame of the state moves on."""
        heads, width, _ = weights["key"].shape
        permuted = powers(heads, width, self.seed, min(chunk * STRIP, x.shape[1]) + 1).to(x.device)

        def read(strip: Tensor, state: State) -> tuple[Tensor, State]:
            query, key, value = self._read(strip, weights)
            index = permuted[None, :, 1 : strip.shape[1] + 1].expand(len(x), -1, -1, -1)
            query, key = query.gather(3, index), key.gather(3, index)
            y, total = chunk_recurrence(query, key, value, ratios(query), state["sum"], chunk)
            back = permuted[:, strip.shape[1]].argsort(-1)
            total = total.gather(2, back[None, :, :, None].expand_as(total))
            return from_heads(self._divided(y), weights["out"]), {"sum": total}

        return in_strips(x, chunk, state, read)

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """All weights of all pairs, as a matrix of tokens × tokens."""
        query, key, value = self._read(x, weights)
        index = self._powers(query, x.shape[1])[None].expand(len(x), -1, -1, -1)
        place = torch.arange(x.shape[1], device=x.device)
        falls = ratios(query)[:, None, None] ** (place[:, None] - place).clamp(min=0)
        matrix = (query.gather(3, index) @ key.gather(3, index).mT * falls).tril()
        return from_heads(self._divided(matrix @ value), weights["out"])

    def _read(self, x: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (to_heads(x, weights[name]) for name in NAMES)
        return torch.relu(query) + SMALL, torch.relu(key) + SMALL, with_one(value)

    def _powers(self, like: Tensor, count: int) -> Int64[Tensor, "heads count width"]:
        return powers(like.shape[1], like.shape[-1], self.seed, count).to(like.device)

    def _divided(self, sums: Tensor) -> Tensor:
        return sums[..., :-1] / sums[..., -1:] if self.normalized else sums[..., :-1]


def ratios(like: Float[Tensor, "batch heads *axes"]) -> Float[Tensor, " heads"]:
    """r of each head."""
    heads = like.shape[1]
    return (torch.arange(heads, dtype=like.dtype, device=like.device) / heads * 3 + 2).sigmoid()


def powers(num_heads: int, width: int, seed: int, count: int) -> Int64[Tensor, "heads count width"]:
    """The permutations after 0 … count − 1 steps, by doubling."""
    once = permutations(num_heads, width, seed)
    found, more = torch.arange(width).expand(num_heads, 1, width), once[:, None]
    while found.shape[1] < count:
        moved = found.gather(2, more.expand_as(found))  # as many steps further on
        found, more = torch.cat([found, moved], 1), more.gather(2, more)
    return found[:, :count]


@remember(64)
@real_numbers()
def permutations(num_heads: int, width: int, seed: int) -> Int64[Tensor, "heads width"]:
    """Draw one permutation for each head."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(width, generator=generator) for _ in range(num_heads)])
