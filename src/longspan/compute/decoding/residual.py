"""Residual rotations: how far queries and cached keys still rotate, on top of the rotation that they already have."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from longspan.compute.rotate import ChannelTables, ReadyRotation, channel_tables, tables
from longspan.memo import ANGLES, ROTATION_MATRICES, numbers_of
from longspan.slots import Spectrum


@dataclass(frozen=True, eq=False)
class ResidualRotation:
    """A rotation by given positions.

    Arguments:
        positions: of the tokens, in their order; there may be more positions than tokens.
        spectrum: frequencies and decay of the rotation.
        decay_sign: 1 for queries, which shrink with their position where the spectrum decays; -1 for keys, which grow.
    """

    positions: Shaped[Tensor, "batch positions 1"]
    spectrum: Spectrum
    decay_sign: int

    def ready(self, tokens: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> ReadyRotation:
        """The rotation of the first `tokens`, for tensors of one kind."""
        return self._first(tokens, self._tables(head_dim, dtype, device))

    def remembered(self, tokens: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> ReadyRotation:
        """The same from a memo of angles: those of a window's keys are the same in the next step."""
        kind = head_dim, dtype, device
        angles = ANGLES.get((self.value, self.spectrum.layout, *kind), lambda: self._tables(*kind))
        return self._first(tokens, (angles[0], angles[1]))

    def matrices(
        self, tokens: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> Float[Tensor, "tokens before after"]:
        """The rotation as one matrix per token, from the token to itself at each batch of positions, side by side."""

        def make() -> tuple[Tensor]:
            basis = torch.eye(head_dim, dtype=dtype, device=device)[None, :, None]
            rotation = self.ready(tokens, head_dim, dtype, device)
            each = rotation(basis.expand(len(self.positions), -1, tokens, -1))
            return (each.permute(2, 1, 0, 3).reshape(tokens, head_dim, -1),)

        return ROTATION_MATRICES.get((self.value, self.spectrum.layout, tokens, head_dim, dtype, device), make)[0]

    def _tables(self, head_dim: int, dtype: torch.dtype, device: torch.device) -> ChannelTables:
        decay = self.decay_sign * self.positions[..., 0] if self.spectrum.decays else None
        angles = tables(self.positions, self.spectrum, decay)
        return channel_tables(angles, self.spectrum.layout, head_dim, dtype, device)

    def _first(self, tokens: int, angles: ChannelTables) -> ReadyRotation:
        cos, sin = angles
        return ReadyRotation((cos[:, :, :tokens], sin[:, :, :tokens]), self.spectrum.layout)

    @cached_property
    def value(self) -> tuple[object, ...]:
        """What equal rotations have in common, as a part of a key."""
        # Fractional positions carry rounding errors of their own: positions that differ by less are the same.
        whole = (self.positions * 2**28).round()
        spectrum = self.spectrum
        numbers = numbers_of(whole, spectrum.frequencies, spectrum.log_decay * self.decay_sign)
        return *numbers, whole.shape, spectrum.gain
