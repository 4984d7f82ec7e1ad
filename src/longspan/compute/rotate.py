"""Turning channel pairs: the one rotation of the library."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from longspan.slots import Layout, Spectrum

Tables = tuple[Tensor, Tensor]
"""Cosine and sine of each pair's angle, (batch | 1, places | 1, pairs), in float64, gain and decay included."""


LOG_GROWTH = 40.0
"""Natural log of what decaying keys may grow by over one origin: far from float32's and bfloat16's e^88."""


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
    return turn(x, tables(coordinate, spectrum, decay), spectrum.layout) if spectrum.rotary_dim else x


def tables(
    coordinate: Shaped[Tensor, "_ places axes"],
    spectrum: Spectrum,
    decay: Shaped[Tensor, "_ places"] | None = None,
) -> Tables:
    """The angles of places; where all stand at one, of that place alone."""
    if decay is None and bool((coordinate == coordinate[:, :1]).all()):
        coordinate = coordinate[:, :1]
    device = coordinate.device
    angle = coordinate[..., spectrum.axis.to(device)] * spectrum.frequencies.to(device)
    size = spectrum.gain
    if decay is not None:
        size = size * (decay[..., None] * spectrum.log_decay.to(device)).exp()
    return angle.cos() * size, angle.sin() * size


def decay_span(spectrum: Spectrum, dtype: torch.dtype, tokens: int) -> int:
    """Whole blocks, of `tokens` at most, over which keys may share an origin without leaving the range of the dtype."""
    if not spectrum.decays or dtype == torch.float16:
        return spectrum.decay_block
    block = spectrum.decay_block
    fit = LOG_GROWTH / -float(spectrum.log_decay.min())
    return max(1, int(min(fit, tokens)) // block) * block


def turn(x: Float[Tensor, "batch heads places head_dim"], angles: Tables, layout: Layout) -> Tensor:
    """x with its first channel pairs turned by known angles."""
    cos, sin = ready(angles, layout, x.shape[-1], x.dtype, x.device)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return turned(x, (cos, sin), layout)
    out = _Turn.apply(x, cos, sin, layout)
    assert isinstance(out, Tensor)
    return out


def ready(angles: Tables, layout: Layout, head_dim: int, dtype: torch.dtype, device: torch.device) -> Tables:
    """Angles as `turned` wants them: of the type of what turns, with an axis for heads; cosines channel by channel."""
    cos, sin = (table[:, None].to(device, dtype) for table in angles)
    both = torch.cat([cos, cos], -1) if layout == "half" else cos.repeat_interleave(2, -1)
    return pad(both, (0, head_dim - both.shape[-1]), value=1.0), sin


def turned(x: Tensor, angles: Tables, layout: Layout) -> Tensor:
    """`turn` by angles that are ready, outside any graph: a pass over all channels and one over each half."""
    cos, sin = angles
    out = torch.mul(x, cos, out=torch.empty_like(x, memory_format=torch.contiguous_format))
    (a, b), (c, d) = (_pairs(tensor, sin.shape[-1], layout) for tensor in (x, out))
    c.addcmul_(b, sin, value=-1)
    d.addcmul_(a, sin)
    return out


class _Turn(torch.autograd.Function):
    """A rotation is linear, and its transpose is the rotation back: nothing of x is kept for the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Turned."""
        ctx.save_for_backward(cos, sin)
        ctx.layout = layout
        return turned(x, (cos, sin), layout)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Turned back."""
        cos, sin = ctx.saved_tensors
        return _Turn.apply(grad, cos, -sin, ctx.layout), None, None, None


def _pairs(x: Tensor, pairs: int, layout: Layout) -> tuple[Tensor, Tensor]:
    """First and second channel of each pair, as views."""
    if layout == "half":
        return x.narrow(-1, 0, pairs), x.narrow(-1, pairs, pairs)
    return x[..., 0 : 2 * pairs : 2], x[..., 1 : 2 * pairs : 2]
