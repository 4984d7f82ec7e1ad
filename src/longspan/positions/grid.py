"""Grid: tokens spread evenly over a span, as a model trained on randomized positions likes to be read.

    p_i = round(i · (S − 1) / (N − 1))        i = 0 … N − 1

Source: Su 2023, "Transformer upgrade road 8: length extrapolation and position robustness", kexue.fm/archives/9444.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.errors import ShapeError


def grid(count: int, span: int) -> Int64[Tensor, "1 tokens"]:
    """Positions of `count` tokens, the same for every text of this length.

    While generating, `count` must be the planned length: positions of earlier tokens may not change.

    Arguments:
        span: S, tokens; the one used in training.

    >>> grid(5, 9).tolist()
    [[0, 2, 4, 6, 8]]

    Errors: ShapeError where the span is shorter than the text.
    """
    if count > span:
        raise ShapeError(f"grid positions: {count} tokens need a span of at least {count}, got {span}")
    return torch.linspace(0, span - 1, count, dtype=torch.float64).round().long()[None]
