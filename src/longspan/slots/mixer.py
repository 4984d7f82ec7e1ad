"""The slot `mixer`: what a layer has in place of softmax attention.

A mixer reads a layer's input (batch, tokens, hidden) and returns its output in the same shape. It keeps its own
projections. The definition is `step`, which reads one token; `chunked` and `parallel` are other ways to the same
numbers, and tests hold all of them together.

Padding, packed documents and saved states are no mixer's business: `longspan.compute.mix` hands a mixer whole stretches
of one document.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.errors import RefusalError, SchemeError
from longspan.slots.part import Part, Weights

State = dict[str, Tensor]
"""What a mixer knows of the tokens that it has read, by name; (batch, …). Tensors are never changed in place."""

Matrices = Mapping[str, int]
"""Learned numbers by name, and how many of their axes, from the first on, belong to the result of the product."""


@dataclass(frozen=True)
class Mixer(Part):
    """What does a layer do in place of softmax attention?

    Learned numbers carry the number of heads in their shapes, so that a mixer needs no field for it.
    """

    slot: ClassVar[str] = "mixer"
    matrices: ClassVar[Matrices] = MappingProxyType({})
    """The learned numbers that weight decay makes smaller. They are matrices between channels, which Muon may take; 0
    axes mark what decays and is no matrix. Norms, biases, rates of forgetting and the like are not in it.
    """

    @abstractmethod
    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Learned numbers at the start of training; the layer has num_heads · head_dim channels."""

    @abstractmethod
    def initial_state(self, batch: int, weights: Weights) -> State:
        """What is known before the first token. A dimension of 0 after the first one grows with the tokens read."""

    @abstractmethod
    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """The output of one token, and what is known after it."""

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """The outputs of at least one token of one document after `state`, and what is known after them.

        Arguments:
            chunk: tokens that may be computed together; no result depends on it.
        """
        outputs = []
        for token in x.unbind(1):
            y, state = self.step(token, weights, state)
            outputs.append(y)
        return torch.stack(outputs, 1), state

    def parallel(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The outputs of a whole document at once."""
        return self.chunked(x, weights, self.initial_state(len(x), weights), x.shape[1])[0]

    def both_directions(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights
    ) -> Float[Tensor, "batch tokens hidden"]:
        """The outputs of a whole document whose tokens see those after them too.

        Errors: RefusalError for a mixer without such a form.
        """
        raise RefusalError(f"{self.name} has no bidirectional form: leave out causal=False")

    def require_pairs(self, head_dim: int) -> None:
        """Refuse heads whose channels are no pairs that rotate.

        Errors: SchemeError for an odd head dimension.
        """
        if head_dim % 2:
            raise SchemeError(f"{self.name} rotates pairs of channels: head_dim must be even, got {head_dim}")

    @property
    def modes(self) -> tuple[str, ...]:
        """The ways of computing that this mixer has formulas of its own for."""
        own = {"chunk": "chunked", "parallel": "parallel"}
        return ("recurrent", *(mode for mode, name in own.items() if getattr(type(self), name) != getattr(Mixer, name)))

    @property
    def has_both_directions(self) -> bool:
        """Whether it has a bidirectional form."""
        return type(self).both_directions != Mixer.both_directions


@dataclass(frozen=True)
class BlockMixer(Mixer):
    """A mixer whose definition reads several tokens at once; a step reads a block of one."""

    @abstractmethod
    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """The outputs of at least one token, as for `Mixer`."""

    def step(
        self, x: Float[Tensor, "batch hidden"], weights: Weights, state: State
    ) -> tuple[Float[Tensor, "batch hidden"], State]:
        """A block of one token."""
        y, state = self.chunked(x[:, None], weights, state, 1)
        return y[:, 0], state


@dataclass(frozen=True)
class GatedUnit(BlockMixer):
    """A mixer whose paper has no feed-forward network beside it: two such layers stand for one layer of a Transformer.

    Arguments:
        feed_forward: whether the layer keeps its feed-forward network; False is the paper's layer.
    """

    feed_forward: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class FollowingMixer(Mixer):
    """A mixer with numbers that follow what its layer reads in training, such as a codebook: they take no gradient."""

    following: ClassVar[tuple[str, ...]]
    """The names of those numbers."""

    @abstractmethod
    def observed(self, x: Float[Tensor, "tokens hidden"], weights: Weights) -> Float[Tensor, "tokens width"]:
        """What they follow: vectors of the tokens that a layer reads."""

    @abstractmethod
    def penalty(self, observed: Float[Tensor, "tokens width"], weights: Weights) -> Float[Tensor, " tokens"]:
        """What each token adds to the loss, so that vectors stay near what follows them; its mean is added."""

    @abstractmethod
    def followed(
        self, observed: Float[Tensor, "tokens width"], weights: Weights, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The numbers named in `following`, of which `weights` has those before, after the vectors of one step."""


@dataclass(frozen=True)
class HeadsMixer(Mixer):
    """A mixer that learns the projections of attention, and nothing else."""

    matrices: ClassVar[Matrices] = MappingProxyType({"query": 2, "key": 2, "value": 2, "out": 1})

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query, key and value: (heads, head_dim, hidden); out: (hidden, heads, head_dim)."""
        return head_projections(num_heads, head_dim, generator)


def head_projections(
    num_heads: int, head_dim: int, generator: torch.Generator | None = None, kv_heads: int | None = None
) -> dict[str, Tensor]:
    """Draw the projections of attention: query, key and value of (heads, head_dim, hidden), out of the reverse.

    Arguments:
        kv_heads: heads of keys and values; None for as many as queries have.
    """
    hidden = num_heads * head_dim
    heads = {"query": num_heads, "key": kv_heads or num_heads, "value": kv_heads or num_heads}
    found = {name: projection(count, head_dim, hidden, generator=generator) for name, count in heads.items()}
    return found | {"out": projection(hidden, num_heads, head_dim, generator=generator, fan_in=hidden)}


def projection(*shape: int, generator: torch.Generator | None = None, fan_in: int | None = None) -> Tensor:
    """Draw a projection whose outputs have the variance of its inputs.

    Arguments:
        shape: of the result; the last dimension is the input's.
        fan_in: numbers that are added up in one output; None for the last dimension.
    """
    return torch.randn(*shape, generator=generator) * (fan_in or shape[-1]) ** -0.5
