"""Rotate channel pairs: the one rotation of the library."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int32, Shaped
from torch import Tensor
from torch.nn.functional import pad

from longspan.slots import Layout, Spectrum

Tables = tuple[Tensor, Tensor]
"""Cosine and sine of each pair's angle, (batch | 1, tokens | 1, pairs), in float64, with gain and decay included."""

ChannelTables = tuple[Tensor, Tensor]
"""Tables laid out for `rotate_channels`: cosines (_, 1, tokens | 1, head_dim) and sines (_, 1, tokens | 1, pairs)."""

LOG_GROWTH = 40.0
"""Natural log of the factor by which decaying keys may grow over one origin: far from the e^88 of float32, bfloat16."""


def rotate(
    x: Float[Tensor, "batch heads tokens head_dim"],
    position: Shaped[Tensor, "#batch tokens axes"],
    spectrum: Spectrum,
    decay: Shaped[Tensor, "#batch tokens"] | None = None,
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """R(position) x: rotate each channel pair by position · frequency; channels beyond `rotary_dim` stay as they are.

    Angles are float64 and are cast after cos and sin, so that position one million is as exact as position one.
    `decay` counts the tokens over which each pair shrinks (negative: grows); None keeps the lengths of the pairs.
    """
    return rotate_by(x, tables(position, spectrum, decay), spectrum.layout) if spectrum.rotary_dim else x


def tables(
    position: Shaped[Tensor, "_ tokens axes"],
    spectrum: Spectrum,
    decay: Shaped[Tensor, "_ tokens"] | None = None,
) -> Tables:
    """Cosines and sines for each position; one row where all tokens have the same position, as far as the CPU knows."""
    if decay is None and position.is_cpu and bool((position == position[:, :1]).all()):
        position = position[:, :1]
    device = position.device
    angle = position[..., spectrum.axis.to(device)] * spectrum.frequencies.to(device)
    size = spectrum.gain
    if decay is not None:
        size = size * (decay[..., None] * spectrum.log_decay.to(device)).exp()
    return angle.cos() * size, angle.sin() * size


def decay_span(spectrum: Spectrum, dtype: torch.dtype, tokens: int) -> int:
    """Number of tokens, in whole blocks and at most `tokens`, whose keys may share an origin without overflow."""
    if not spectrum.decays or dtype == torch.float16:
        return spectrum.decay_block
    block = spectrum.decay_block
    fit = LOG_GROWTH / -float(spectrum.log_decay.min())
    return max(1, int(min(fit, tokens)) // block) * block


def rotate_by(x: Float[Tensor, "batch heads tokens head_dim"], angles: Tables, layout: Layout) -> Tensor:
    """Rotate the first channel pairs of x by known angles."""
    cos, sin = channel_tables(angles, layout, x.shape[-1], x.dtype, x.device)
    # A transform of torch.func knows no `out=`, but it knows the function with gradients.
    transformed = torch._C._are_functorch_transforms_active()
    if not (transformed or (torch.is_grad_enabled() and x.requires_grad)):
        return rotate_channels(x, (cos, sin), layout)
    out = _RotateBy.apply(x, cos, sin, layout)
    assert isinstance(out, Tensor)
    return out


def channel_tables(
    angles: Tables, layout: Layout, head_dim: int, dtype: torch.dtype, device: torch.device
) -> ChannelTables:
    """Tables as `rotate_channels` reads them: in the dtype of x, with an axis for heads, one cosine per channel."""
    cos, sin = (table[:, None].to(device, dtype) for table in angles)
    both = torch.cat([cos, cos], -1) if layout == "half" else cos.repeat_interleave(2, -1)
    return pad(both, (0, head_dim - both.shape[-1]), value=1.0), sin


def rotate_channels(x: Tensor, angles: ChannelTables, layout: Layout) -> Tensor:
    """`rotate_by` without a graph: one pass over all channels and one over each half."""
    cos, sin = angles
    out = torch.mul(x, cos, out=torch.empty_like(x, memory_format=torch.contiguous_format))
    (a, b), (c, d) = (_pairs(tensor, sin.shape[-1], layout) for tensor in (x, out))
    c.addcmul_(b, sin, value=-1)
    d.addcmul_(a, sin)
    return out


def pair_tables(angles: ChannelTables, layout: Layout) -> Float[Tensor, "tokens 2 head_dim"]:
    """Angles of one row of tokens for kernels that work channel by channel: x cos + x_partner sin.

    The cosine of each channel, and the sine with the sign that its partner has; see `partners`.
    """
    cos, sin = angles[0][0, 0], angles[1][0, 0]
    signed = torch.cat([-sin, sin], -1) if layout == "half" else torch.stack([-sin, sin], -1).flatten(-2)
    return torch.stack([cos, pad(signed, (0, cos.shape[-1] - signed.shape[-1]))], 1)


def partners(pairs: int, layout: Layout, channels: int) -> Int32[Tensor, " channels"]:
    """The other channel of each one's pair; a channel without a pair is its own partner."""
    channel = torch.arange(channels)
    other = (channel + pairs) % (2 * pairs) if layout == "half" else channel ^ 1
    return torch.where(channel < 2 * pairs, other, channel).int()


class ReadyRotation(NamedTuple):
    """A rotation by known angles, ready for tensors of one kind.

    Arguments:
        angles: as `channel_tables` gives them.
        layout: of the channel pairs.
    """

    angles: ChannelTables
    layout: Layout

    def __call__(self, x: Float[Tensor, "_ heads tokens head_dim"]) -> Float[Tensor, "_ heads tokens head_dim"]:
        """Rotate tokens, without a graph."""
        return rotate_channels(x, self.angles, self.layout)


class _RotateBy(torch.autograd.Function):
    """A rotation is linear, and its transpose is the rotation back: the backward pass needs no copy of x."""

    @staticmethod
    def forward(x: Tensor, cos: Tensor, sin: Tensor, layout: Layout) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Rotate."""
        return rotate_channels(x, (cos, sin), layout)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the angles."""
        _, cos, sin, ctx.layout = inputs
        ctx.save_for_backward(cos, sin)
        ctx.save_for_forward(cos, sin)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Rotate back."""
        cos, sin = ctx.saved_tensors
        return _RotateBy.apply(grad, cos, -sin, ctx.layout), None, None, None

    @staticmethod
    def jvp(ctx, *tangents: Any) -> Any:
        """Rotate the tangent in the same way; angles have none."""
        cos, sin = ctx.saved_tensors
        return _RotateBy.apply(tangents[0], cos, sin, ctx.layout)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info, in_dims: tuple[int | None, ...], x: Tensor, cos: Tensor, sin: Tensor, layout: Layout
    ) -> tuple[Tensor, int]:
        """Rotate with one more axis in front; angles have as many axes as x had."""
        x, cos, sin = (t if dim is None else t.movedim(dim, 0) for t, dim in zip((x, cos, sin), in_dims, strict=False))
        x = x if in_dims[0] is not None else x.expand(info.batch_size, *x.shape)
        out = _RotateBy.apply(x, cos, sin, layout)
        assert isinstance(out, Tensor)
        return out, 0


def _pairs(x: Tensor, pairs: int, layout: Layout) -> tuple[Tensor, Tensor]:
    """First and second channel of each pair, as views."""
    if layout == "half":
        return x.narrow(-1, 0, pairs), x.narrow(-1, pairs, pairs)
    return x[..., 0 : 2 * pairs : 2], x[..., 1 : 2 * pairs : 2]
