"""Sinusoidal: sines and cosines of the position at geometrically falling frequencies.

    e(p) = [sin p·f_0, cos p·f_0, sin p·f_1, cos p·f_1, …]        f_i = theta^(−2i/D),  so that
    ⟨e(p), e(s)⟩ = Σ_i cos((p − s) f_i)                           depends on p − s only

Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, section 3.5.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from longspan.errors import ShapeError
from longspan.slots import Weights, geometric
from longspan.slots.absolute import Absolute


@dataclass(frozen=True)
class Sinusoidal(Absolute):
    """Sines and cosines of the position, added to embeddings at the size that the paper's have.

    The paper multiplies its embeddings by √D, so that they are as large as the sines. Models of transformers start
    with smaller ones, and `spread` makes the sines smaller by as much.

    Arguments:
        theta: the base of the frequencies.
        layout: sines and cosines alternating (the paper), or all sines before all cosines ("half": tensor2tensor).
        spread: the factor on them (left open: the standard deviation, at the start of training, of the embeddings that
            the first layer receives).

    >>> Sinusoidal(spread=1.0).vectors(torch.tensor(0), 4, {}).tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    theta: float = 10000.0
    layout: Literal["interleaved", "half"] = "interleaved"
    spread: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers without a meaning."""
        self.require(self.theta > 1, "theta", "above 1")
        self.require(self.spread is None or self.spread > 0, "spread", "above 0")

    def vectors(
        self, positions: Shaped[Tensor, "*tokens"], width: int, weights: Weights, *, training: bool = False
    ) -> Float[Tensor, "*tokens width"]:
        """The vectors, in float64: cast them to the dtype of the embeddings.

        Errors: ShapeError for an odd width.
        """
        assert self.spread is not None
        return self.spread * sinusoids(positions, width, theta=self.theta, layout=self.layout)


def sinusoids(
    positions: Shaped[Tensor, "*tokens"],
    dim: int,
    *,
    theta: float = 10000.0,
    layout: Literal["interleaved", "half"] = "interleaved",
) -> Float64[Tensor, "*tokens dim"]:
    """What is added to the embeddings at `positions`, in float64: cast it to the model's dtype.

    Arguments:
        positions: whole or fractional, of any shape.
        dim: D, the width of the model; even.
        layout: sines and cosines alternating (the paper), or all sines before all cosines ("half": tensor2tensor).

    >>> sinusoids(torch.tensor(0), 4).tolist()
    [0.0, 1.0, 0.0, 1.0]

    Errors: ShapeError for an odd width.
    """
    if dim % 2 or dim < 2:
        raise ShapeError(f"sinusoidal positions pair sines and cosines: dim must be even and at least 2, got {dim}")
    angle = positions.double()[..., None] * geometric(theta, dim).to(positions.device)
    pairs = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return (pairs if layout == "interleaved" else pairs.mT).flatten(-2)
