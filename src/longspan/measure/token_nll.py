"""Loss by token: −ln p of every token of a text given those before it.

    nll_t = −ln p(x_t | x_0 … x_{t−1})        t = 1 … n − 1        nats

A text is read in one forward pass without a cache: every method here is defined row by row, so that this equals
reading it in parts, and is the fastest. Logits are made in slices.
"""

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from longspan.measure.reader import Reader


def token_nll(
    reader: Reader, ids: Int[Tensor, "rows positions"], scored: int | None = None
) -> Float64[Tensor, "rows scored"]:
    """Return the loss of each row's last `scored` tokens (by default all but the first), nats."""
    length = ids.shape[1]
    count = length - 1 if scored is None else scored
    hidden = reader.hidden(ids)[:, length - 1 - count : length - 1]
    targets = ids[:, length - count :]
    return torch.stack([reader.losses(row, target) for row, target in zip(hidden, targets, strict=True)])
