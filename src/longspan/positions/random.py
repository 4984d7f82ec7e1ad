"""Randomized positions: a sorted sample of a span longer than the text, so that training meets every distance.

    p_0 < p_1 < … < p_{N−1}      drawn from 0 … S − 1 without replacement

Source: Ruoss et al. 2023, "Randomized Positional Encodings Boost Length Generalization of Transformers",
arXiv:2305.16843, section 3.
Differs from the paper: each call is one draw, to be used in all layers; the authors' code draws anew in each layer with
rotation (once for its queries and keys), for which call this once per layer. For ALiBi and relative vectors their code
draws not the positions but the distances, independently of each other; that is not offered.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.errors import ShapeError


def random(
    count: int, span: int, *, rows: int = 1, generator: torch.Generator | None = None
) -> Int64[Tensor, "rows tokens"]:
    """Positions of `count` tokens; for testing, `grid` spreads them evenly over the same span.

    Arguments:
        span: S, tokens; at least the longest text that will be read.
        rows: 1 for one draw that the batch shares (as in the authors' code), the batch's size for one draw per row.

    >>> random(4, 4).tolist()
    [[0, 1, 2, 3]]

    Errors: ShapeError where the span is shorter than the text.
    """
    if count > span:
        raise ShapeError(f"random positions: {count} tokens need a span of at least {count}, got {span}")
    keys = torch.rand(rows, span, dtype=torch.float64, generator=generator)
    return keys.topk(count, dim=1).indices.sort(dim=1).values
