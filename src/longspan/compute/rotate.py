"""Turning channel pairs: the one rotation of the library."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.slots import Spectrum


def rotate(
    x: Float[Tensor, "batch heads places head_dim"],
    coordinate: Shaped[Tensor, "#batch places axes"],
    spectrum: Spectrum,
    decay: Shaped[Tensor, "#batch places"] | None = None,
) -> Float[Tensor, "batch heads places head_dim"]:
    """R(coordinate) x: each channel pair turned by coordinate · frequency; channels beyond `rotary_dim` pass.

    Angles are float64 and cast after cos and sin, so that position one million is as exact as position one.
    `decay` counts the tokens over which each pair shrinks (negative: grows); None leaves lengths alone.
    """
    if not spectrum.rotary_dim:
        return x
    cos, sin = tables(coordinate, spectrum, decay)
    cos, sin = cos[:, None].to(x.dtype), sin[:, None].to(x.dtype)
    turned, rest = x[..., : spectrum.rotary_dim], x[..., spectrum.rotary_dim :]
    if spectrum.layout == "half":
        a, b = turned.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)
    a, b = turned[..., 0::2], turned[..., 1::2]
    return torch.cat([torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2), rest], -1)


def tables(
    coordinate: Shaped[Tensor, "#batch places axes"],
    spectrum: Spectrum,
    decay: Shaped[Tensor, "#batch places"] | None = None,
) -> tuple[Float[Tensor, "_ places pairs"], Float[Tensor, "_ places pairs"]]:
    """Cosine and sine of each pair's angle in float64, gain and decay included."""
    device = coordinate.device
    followed = coordinate.double()[..., spectrum.axis.to(device)]
    angle = followed * spectrum.frequencies.to(device)
    size = spectrum.gain
    if decay is not None:
        size = size * (decay.double()[..., None] * spectrum.log_decay.to(device)).exp()
    return angle.cos() * size, angle.sin() * size
