"""The rotated copies of queries and keys that the sweeps of a kernel read.

Rotating a tensor costs as much as reading it once, and a key is read by every block of rows: each key rotates once for
each mapped position, before the kernel, so that the loop inside it is that of plain attention.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from longspan.compute.fused.lowering import Sweeps
from longspan.compute.inputs import Inputs, residual
from longspan.compute.rotate import Tables, rotate_by, tables
from longspan.slots import Spectrum


def rotated_queries(x: Inputs, sweeps: Sweeps, size: int) -> Float[Tensor, "copies batch heads queries d"]:
    """Queries at the positions that each branch maps them to, each row in the spectrum of its own segment.

    `size` is the number of tokens over which decay shares an origin: queries shrink over the way from theirs.
    """
    head_dim, position = x.query.shape[-1], x.queries.coordinate
    copies = []
    for branch in sweeps.query_copies:
        found: Tables | None = None
        layout = None
        for segment in sweeps.segments:
            spectrum = segment.rotation.spectrum(head_dim).in_sections(branch.sections)
            if not spectrum.rotary_dim:
                continue
            mapped, missing = residual(branch.query(position), position, x.query_frame, spectrum)
            angles = tables(mapped, missing, mapped[..., 0] - origins(position, size) if size else None)
            layout = spectrum.layout
            found = angles if found is None else _from(segment.start, position, angles, found)
        copies.append(x.query if found is None or layout is None else rotate_by(x.query, found, layout))
    return _stacked(copies)


def rotated_keys(x: Inputs, sweeps: Sweeps, size: int) -> Float[Tensor, "copies batch kv_heads keys d"]:
    """Keys at the positions that each branch maps them to, in each segment; where keys decay, they grow backwards."""
    head_dim, position = x.key.shape[-1], x.keys.coordinate
    copies = []
    for branch, segment in sweeps.key_copies:
        spectrum = segment.rotation.spectrum(head_dim).in_sections(branch.sections)
        lies = x.key_frame is not None and x.key_frame == branch.key and not size
        if lies or not spectrum.rotary_dim:
            copies.append(x.key)
            continue
        mapped, missing = residual(branch.key(position), position, x.key_frame, spectrum)
        grown = origins(position, size) - mapped[..., 0] if size else None
        copies.append(rotate_by(x.key, tables(mapped, missing, grown), spectrum.layout))
    return _stacked(copies)


def origins(position: Tensor, size: int) -> Int64[Tensor, "rows tokens"]:
    """The position that the decay of each token is relative to: that of the first token of its block."""
    return position[..., 0].div(size, rounding_mode="floor").long() * size


def per_channel(spectrum: Spectrum, head_dim: int) -> Float[Tensor, " head_dim"]:
    """log₂ of each channel's factor per token."""
    pairs = spectrum.log_decay.float() / torch.log(torch.tensor(2.0))
    both = torch.cat([pairs, pairs]) if spectrum.layout == "half" else pairs.repeat_interleave(2)
    return torch.cat([both, both.new_zeros(head_dim - len(both))])


def _from(start: int, position: Tensor, later: Tables, earlier: Tables) -> Tables:
    """The angles of the later segment for positions from its start on."""
    rows = position[..., :1] >= start
    return torch.where(rows, later[0], earlier[0]), torch.where(rows, later[1], earlier[1])


def _stacked(copies: list[Tensor]) -> Tensor:
    """Copies side by side; a single one stays where it lies."""
    return copies[0][None] if len(copies) == 1 else torch.stack(copies)
