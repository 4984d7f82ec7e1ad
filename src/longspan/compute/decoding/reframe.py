"""Rotate cached keys in place: from a frame of one rotation to the same frame of another."""

from dataclasses import replace

from jaxtyping import Shaped
from torch import Tensor

from longspan.compute.decoding.pieces import CHUNK
from longspan.compute.decoding.residual import ResidualRotation
from longspan.position_map import PositionMap
from longspan.slots import Rotation, Spectrum


def reframe(
    keys: Tensor,
    positions: Shaped[Tensor, "_ keys 1"],
    frame: PositionMap | None,
    before: Rotation | None,
    after: Rotation | None,
) -> None:
    """Rotate keys on, chunk by chunk.

    Arguments:
        keys: (batch, kv_heads, keys, head_dim), changed in place.
        positions: of the keys.
        frame: mapped position that they are, or will be, rotated to; None for keys that stay unrotated.
        before, after: rotations that the keys have and get; None for no rotation.
    """
    if frame is None or before == after:
        return
    spectrum = _difference(before, after, keys.shape[3])
    for some, at in zip(keys.split(CHUNK, 2), positions.split(CHUNK, 1), strict=True):
        rotation = ResidualRotation(frame(at), spectrum, -1)
        some.copy_(rotation.ready(at.shape[1], keys.shape[3], keys.dtype, keys.device)(some))


def _difference(before: Rotation | None, after: Rotation | None, head_dim: int) -> Spectrum:
    """The spectrum that rotates from one rotation to another; rotations that change with length never decay."""
    old, new = (None if rotation is None else rotation.spectrum(head_dim) for rotation in (before, after))
    known = new or old
    assert known is not None
    none = replace(known, frequencies=known.frequencies * 0, gain=1.0)
    old, new = old or none, new or none
    return replace(known, frequencies=new.frequencies - old.frequencies, gain=new.gain / old.gain)
