"""GAU-α: a whole block of the model of that name, one gated attention unit with its residual and the norm after it.

    y = norm( x + GAU(x) ) − x        norm(h) = h / √( mean(h²) + 10⁻¹² ),  without learned gain

GAU is `gau` with softmax_plus and without offsets β. The layer around a mixer adds x, so that the mixer returns the
difference. The model norms after each block and never before: a norm with a gain of one, which the layer around may
have before it, changes nothing of what a block has left.

Source: Su et al. 2022, kexue.fm/archives/9052; the authors' code, github.com/ZhuiyiTechnology/GAU-alpha.
Differs from the model: it reads in both directions (`both_directions`); one direction is ours. It learns no γ of its
own beyond those of queries and keys, and has no dropout here.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import rms_norm

from longspan.mixers.gau import GAU
from longspan.slots import GatedUnit, Matrices, State, Weights

EPSILON = 1e-12


@dataclass(frozen=True)
class GAUAlpha(GatedUnit):
    """Neutral: none; 24 blocks without feed-forward networks have the numbers of 12 layers of a Transformer.

    Arguments:
        expansion: width of gate and values over that of the layer.
        feed_forward: whether the layer keeps its feed-forward network; the paper has none.

    >>> sorted(GAUAlpha().initial_weights(2, 4))
    ['gate', 'out', 'scales', 'shared', 'value']
    """

    matrices: ClassVar[Matrices] = MappingProxyType({"gate": 1, "value": 1, "shared": 1, "out": 1})
    expansion: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least(1, "expansion")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Those of `gau` without the offsets."""
        weights = self._unit.initial_weights(num_heads, head_dim, generator)
        return {name: value for name, value in weights.items() if name != "offsets"}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """That of `gau`: keys and values of all tokens."""
        return self._unit.initial_state(batch, weights)

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Several queries over all keys so far; the chunk does not matter."""
        y, state = self._unit.chunked(x, _without_offsets(weights), state, chunk)
        return _normed(x + y) - x, state

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """All queries over all keys, as in the published model."""
        return _normed(x + self._unit.both_directions(x, _without_offsets(weights))) - x

    @property
    def _unit(self) -> GAU:
        return GAU("softmax_plus", self.expansion)


def _without_offsets(weights: Weights) -> Weights:
    return {**weights, "offsets": torch.zeros_like(weights["scales"])}


def _normed(x: Tensor) -> Tensor:
    return rms_norm(x, x.shape[-1:], eps=EPSILON)
