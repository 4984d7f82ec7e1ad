"""Which channels of a head turn, and how they are paired: four things that differ between model families."""

from dataclasses import dataclass
from math import nextafter

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.slots import Layout as Pairing


@dataclass(frozen=True)
class ChannelLayout:
    """Where the turned channels of a head stand.

    Arguments:
        pairing: "half" or "interleaved".
        rotary_dim: channels that turn.
        head_dim: all channels.
        last: whether the turned channels are the last ones (multi-head latent attention) and not the first.
        backward: whether angles run the other way, as if all frequencies were negative.
    """

    pairing: Pairing
    rotary_dim: int
    head_dim: int
    last: bool = False
    backward: bool = False

    @property
    def partial(self) -> float:
        """The fraction that `Rotation.partial` wants: int(head_dim · partial) is rotary_dim exactly."""
        fraction = self.rotary_dim / self.head_dim
        return fraction if int(self.head_dim * fraction) == self.rotary_dim else nextafter(fraction, 2.0)

    def arrange(self, x: Float[Tensor, "*places head_dim"]) -> Float[Tensor, "*places head_dim"]:
        """The channels in the order that `rotate` expects; the same order for query and key keeps their product."""
        if not (self.last or self.backward):
            return x
        return x[..., self._order(x.device)]

    def _order(self, device: torch.device) -> Tensor:
        turned, rest = torch.arange(self.rotary_dim), torch.arange(self.rotary_dim, self.head_dim)
        if self.last:
            start = self.head_dim - self.rotary_dim
            turned, rest = turned + start, torch.arange(start)
        if self.backward:  # exchanging a pair's two channels turns it the other way
            half = self.rotary_dim // 2
            turned = turned.roll(half) if self.pairing == "half" else turned.view(half, 2).flip(1).flatten()
        return torch.cat([turned, rest]).to(device)
