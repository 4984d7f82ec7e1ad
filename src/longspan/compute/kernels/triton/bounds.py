"""Which blocks meet: from the keys that each row sees to the blocks of keys of each block of rows, and the reverse."""

import torch
from jaxtyping import Int32
from torch import Tensor


def row_bounds(
    seen: Int32[Tensor, "sweeps rows queries 2"], size: int, keys: int
) -> Int32[Tensor, "sweeps rows blocks 4"]:
    """For each block of `size` rows the blocks of keys that it needs.

    First block, first and one past the last of those that every row sees whole, one past the last block.
    """
    low, high = _in_blocks(seen, size)
    some, every = high > low, (high > low).all(-1)
    huge = torch.iinfo(torch.int32).max
    first = low.masked_fill(~some, huge).amin(-1).div(keys, rounding_mode="floor")
    last = (high.masked_fill(~some, 0).amax(-1) + keys - 1).div(keys, rounding_mode="floor")
    whole = (low.amax(-1) + keys - 1).div(keys, rounding_mode="floor")
    rest = high.amin(-1).div(keys, rounding_mode="floor")
    first = torch.minimum(first, last)
    inside = every & (rest > whole)
    return torch.stack([first, torch.where(inside, whole, last), torch.where(inside, rest, last), last], -1).int()


def key_bounds(
    seen: Int32[Tensor, "sweeps rows queries 2"], size: int, num_keys: int
) -> Int32[Tensor, "sweeps rows blocks 4"]:
    """For each block of `size` keys the rows that see it: first, first and one past the last of those that see all of
    it, one past the last. Rows come sorted, so that among those that see anything neither end of an interval falls.
    """
    low, high = seen.unbind(-1)
    some = high > low
    highest = high.masked_fill(~some, 0).cummax(-1).values.contiguous()
    lowest = low.masked_fill(~some, torch.iinfo(torch.int32).max).flip(-1).cummin(-1).values.flip(-1).contiguous()
    start = torch.arange(0, num_keys, size, device=seen.device, dtype=torch.int32)
    start = start.expand(*seen.shape[:2], -1).contiguous()
    first = torch.searchsorted(highest, start, right=True)
    last = torch.maximum(first, torch.searchsorted(lowest, start + size))
    whole = torch.searchsorted(highest, start + size)
    rest = torch.searchsorted(lowest, start, right=True)
    inside = rest > whole
    return torch.stack([first, torch.where(inside, whole, last), torch.where(inside, rest, last), last], -1).int()


def _in_blocks(seen: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First and last key of the rows of each block; the last row fills the last block."""
    missing = -seen.shape[2] % size
    if missing:
        seen = torch.cat([seen, seen[:, :, -1:].expand(-1, -1, missing, -1)], 2)
    low, high = seen.unbind(-1)
    return low.unflatten(-1, (-1, size)), high.unflatten(-1, (-1, size))
