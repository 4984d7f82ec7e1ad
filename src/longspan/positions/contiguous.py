"""Contiguous: token i has position i.

    p_i = i                      i = 0 … N − 1

Source: the ordinary reading of Vaswani et al. 2017, arXiv:1706.03762.
"""

import torch
from jaxtyping import Int64
from torch import Tensor


def contiguous(count: int) -> Int64[Tensor, "1 tokens"]:
    """Positions of one text of `count` tokens, shared by the batch.

    >>> contiguous(4).tolist()
    [[0, 1, 2, 3]]
    """
    return torch.arange(count)[None]
