"""Equal-mean positions: the text is stretched or shrunk at random, on average by nothing.

    p_i = i · n / (N − 1)        i = 0 … N − 1,   n drawn with mean M

    n ~ exponential              without a span
    n ~ S · Beta(1, S/M − 1)     with a span S: never above it, and the exponential as S grows

Source: Su 2023, "Transformer upgrade road 8: length extrapolation and position robustness", kexue.fm/archives/9444;
"road 9: a new idea for global length extrapolation", kexue.fm/archives/9603 (why it does not suit decoding).
Differs from the paper: the shape of the Beta distribution is ours; the article leaves it open.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from longspan.errors import ShapeError


def equal_mean(
    count: int,
    mean: float | None = None,
    span: float | None = None,
    *,
    rows: int = 1,
    generator: torch.Generator | None = None,
) -> Float64[Tensor, "rows tokens"]:
    """Positions of `count` tokens: fractions, for encodings that are functions of a real position.

    Not for decoding: the sampled gaps would change with every token that is appended.

    Arguments:
        mean: M, the last token's position on average (left open: the number of tokens).
        span: S, the largest position (left open: none); above the mean.
        rows: 1 for one draw that the batch shares, the batch's size for one draw per row.

    >>> equal_mean(3)[0, 0].item()
    0.0

    Errors: ShapeError where the span is not above the mean.
    """
    mean = count if mean is None else mean
    if span is not None and span <= mean:
        raise ShapeError(f"equal-mean positions: span must be above the mean {mean:g}, got {span:g}")
    uniform = torch.rand(rows, 1, dtype=torch.float64, generator=generator)
    log_left = (-uniform).log1p()  # of 1 − u, never −∞: u < 1
    last = -mean * log_left if span is None else -span * (log_left / (span / mean - 1)).expm1()
    return last * torch.linspace(0, 1, count, dtype=torch.float64)
