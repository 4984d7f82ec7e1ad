"""Few queries over many keys: what a decoding step calls on devices without a kernel of their own.

Written out in PyTorch: few queries need no tiles, because their scores are no larger than their keys. Nothing here
makes the CPU wait for the device.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def few_queries(
    query: Float[Tensor, "batch heads rows d"],
    key: Float[Tensor, "batch kv_heads keys d"],
    value: Float[Tensor, "batch kv_heads keys d"],
    scale: float,
    mask: Float[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "batch heads rows d"], Float[Tensor, "batch heads rows"]]:
    """Output and log-sum-exp, with sums in float32 at least; the mask is added to the scores.

    A row that sees no key gets any numbers.
    """
    shape, dtype = query.shape, torch.promote_types(query.dtype, torch.float32)
    shared = (*key.shape[:2], -1, shape[3])  # heads that share a key head become rows of one
    scores = query.to(dtype).reshape(shared) @ key.to(dtype).mT * scale
    scores = scores.view(*shape[:3], -1)
    scores = scores if mask is None else scores + mask
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().view(*shared[:3], key.shape[2])
    return (weights @ value.to(dtype)).to(query.dtype).view(shape), lse
