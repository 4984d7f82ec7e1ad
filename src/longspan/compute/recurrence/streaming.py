"""Attention as a recurrent network: what a softmax needs to remember, and a Transformer that remembers nothing.

The softmax of a query over any number of keys needs three things, whatever the order of the keys:

    m' = max(m, s)        z ← z e^{m − m'} + e^{s − m'}        y ← y e^{m − m'} + e^{s − m'} v        output y / z

Two such states merge by the same rule, which is associative and commutative: windows, sinks, tiles, rings of processes
and caches in slow memory all rest on it.

A causal Transformer may keep no keys at all. Whenever it needs the key of token j in layer n, it computes layer n − 1
at token j again, from the token's number on. What it then holds is about two vectors per layer, as an RNN does, and
what it pays is time: the output of layer n at token i (from 1) takes C(i + n, n) calls, about iⁿ/n!. Nobody would run
it. It says what a cache buys, and that attention pays with time for what an RNN has to forget.

Source: Su 2024, kexue.fm/archives/10017 ("Viewing attention as a quadratic-complexity RNN"); Rabe & Staats 2021,
"Self-attention Does Not Need O(n²) Memory", arXiv:2112.05682. The number of calls is derived here.

>>> import torch
>>> scores, values = torch.randn(7), torch.randn(7, 3)
>>> state = NOTHING
>>> for score, value in zip(scores, values):
...     state = state.with_key(score, value)
>>> torch.allclose(state.output, scores.softmax(0) @ values, atol=1e-6)
True
>>> recomputation_calls(layers=3, token=7)
120
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, inf

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class StreamingSoftmax:
    """What one query knows of the keys that it has seen.

    Arguments:
        highest: m, the largest score.
        total: z, the sum of e^{s − m}.
        mixed: y, the sum of e^{s − m} v; a number before the first key.
    """

    highest: Float[Tensor, ""]
    total: Float[Tensor, ""]
    mixed: Float[Tensor, "*value_dim"]

    def with_key(self, score: Float[Tensor, ""], value: Float[Tensor, " value_dim"]) -> "StreamingSoftmax":
        """Return the state after one more key; a score of −inf is a key that is not seen."""
        return self.merged(StreamingSoftmax(score, (score > -inf).to(value.dtype), value * (score > -inf)))

    def merged(self, other: "StreamingSoftmax") -> "StreamingSoftmax":
        """Return the state after the keys of both."""
        highest = torch.maximum(self.highest, other.highest)
        if highest == -inf:  # −inf − (−inf) is no number
            return StreamingSoftmax(highest, self.total + other.total, self.mixed + other.mixed)
        mine, theirs = (self.highest - highest).exp(), (other.highest - highest).exp()
        total = self.total * mine + other.total * theirs
        return StreamingSoftmax(highest, total, self.mixed * mine + other.mixed * theirs)

    @property
    def output(self) -> Tensor:
        """The output of attention; NaN before the first key that is seen."""
        return self.mixed / self.total


NOTHING = StreamingSoftmax(torch.tensor(-inf), torch.tensor(0.0), torch.tensor(0.0))
"""The state before the first key."""

LayerStep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a query's hidden state and a key's to the score and the value."""


def without_a_cache(layers: list[LayerStep], embedding: Callable[[int], Tensor], token: int) -> Tensor:
    """Return the output of a causal Transformer at a token, and keep nothing of any other one.

    Arguments:
        layers: score and value of a pair of hidden states, from the first layer to the last; a layer adds its attention
            to its input.
        embedding: of the token with a number, from 1 on.
        token: from 1 on.
    """
    if not layers:
        return embedding(token)
    *below, last = layers
    own = without_a_cache(below, embedding, token)
    state = NOTHING
    for other in range(1, token + 1):
        state = state.with_key(*last(own, own if other == token else without_a_cache(below, embedding, other)))
    return own + state.output


def recomputation_calls(layers: int, token: int) -> int:
    """Return how often `without_a_cache` is called for one output, C(token + layers, layers).

    A call of n layers at token i makes one call of n − 1 layers for each token up to i:

        calls(0, i) = 1        calls(n, i) = 1 + Σ_{j ≤ i} calls(n − 1, j) = C(i + n, n)
    """
    return comb(token + layers, layers)
