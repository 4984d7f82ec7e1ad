"""What the tests of mixers share: drawn numbers in float64, and one call."""

from typing import Any

import torch
from torch import Tensor

from longspan.compute.mix import mix
from longspan.slots import Mixer

HIDDEN = 8


def drawn(mixer: Mixer, heads: int = 2, head_dim: int = 4, seed: int = 0, off: float = 0.1) -> dict[str, Tensor]:
    """Learned numbers, a little off their initial values, so that each of them matters."""
    generator = torch.Generator().manual_seed(seed)
    plain = mixer.initial_weights(heads, head_dim, generator)
    return {
        name: value.double() + off * torch.randn(value.shape, dtype=torch.float64, generator=generator)
        for name, value in plain.items()
    }


def text(tokens: int = 11, batch: int = 2, hidden: int = HIDDEN, seed: int = 1) -> Tensor:
    """A layer's input."""
    return torch.randn(batch, tokens, hidden, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mixed(x: Tensor, mixer: Mixer, weights: dict[str, Tensor], **given: Any) -> Tensor:
    return mix(x, mixer, weights, **given)[0]
