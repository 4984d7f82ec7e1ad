"""Sinusoidal: sines and cosines of the position at geometrically falling frequencies.

    e(p) = [sin p·f_0, cos p·f_0, sin p·f_1, cos p·f_1, …]        f_i = theta^(−2i/D),  so that
    ⟨e(p), e(s)⟩ = Σ_i cos((p − s) f_i)                           depends on p − s only

Source: Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762, section 3.5.
"""

from typing import Literal

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from longspan.errors import ShapeError
from longspan.slots import geometric


def sinusoidal(
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

    >>> sinusoidal(torch.tensor(0), 4).tolist()
    [0.0, 1.0, 0.0, 1.0]

    Errors: ShapeError for an odd width.
    """
    if dim % 2 or dim < 2:
        raise ShapeError(f"sinusoidal positions pair sines and cosines: dim must be even and at least 2, got {dim}")
    angle = positions.double()[..., None] * geometric(theta, dim).to(positions.device)
    pairs = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return (pairs if layout == "interleaved" else pairs.mT).flatten(-2)
