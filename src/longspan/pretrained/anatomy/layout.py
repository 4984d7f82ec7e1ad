"""Which channels of a head rotate, and how they are paired: this differs between model families."""

from dataclasses import dataclass, replace
from math import nextafter

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Layout as Pairing
from longspan.slots import Rotation


@dataclass(frozen=True)
class ChannelLayout:
    """The rotating channels of a head.

    Arguments:
        pairing: "half" or "interleaved".
        rotary_dim: channels that rotate.
        head_dim: all channels.
        last: whether they are the last channels of the head (multi-head latent attention) and not the first.
        backward: whether they rotate in the opposite direction, as if all frequencies were negative.
    """

    pairing: Pairing
    rotary_dim: int
    head_dim: int
    last: bool = False
    backward: bool = False

    @property
    def partial(self) -> float:
        """The value of `Rotation.partial`: int(head_dim · partial) is rotary_dim exactly."""
        fraction = self.rotary_dim / self.head_dim
        return fraction if int(self.head_dim * fraction) == self.rotary_dim else nextafter(fraction, 2.0)

    def fit(self, rotation: Rotation) -> Rotation:
        """Return a rotation for these channels of a head."""
        return replace(rotation, layout=self.pairing, partial=self.partial)

    def arrange(self, x: Float[Tensor, "*places head_dim"]) -> Float[Tensor, "*places head_dim"]:
        """Return the channels in the order that `rotate` expects; one order for query and key keeps their product."""
        if not (self.last or self.backward):
            return x
        return x[..., self._order(x.device)]

    def _order(self, device: torch.device) -> Tensor:
        rotating, rest = torch.arange(self.rotary_dim), torch.arange(self.rotary_dim, self.head_dim)
        if self.last:
            start = self.head_dim - self.rotary_dim
            rotating, rest = rotating + start, torch.arange(start)
        if self.backward:  # a pair with its two channels exchanged rotates in the opposite direction
            half = self.rotary_dim // 2
            rotating = rotating.roll(half) if self.pairing == "half" else rotating.view(half, 2).flip(1).flatten()
        return torch.cat([rotating, rest]).to(device)
