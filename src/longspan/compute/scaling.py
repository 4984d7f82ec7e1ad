"""How sharp each query is: its factor, and the one number that a kernel multiplies all scores with."""

from functools import lru_cache

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.lowering import Span, visible_keys
from longspan.scheme import Scheme


def scaled(x: Inputs, query: Tensor, span: Span) -> tuple[Tensor, float]:
    """Queries and the one number that the kernel multiplies scores with."""
    asked = (_visible(x.scheme, span).to(query.device), x.base_scale, x.weights_of(x.scheme.scale))
    scale = x.scheme.scale(*asked)
    multiplied = x.scheme.scale.multiplies
    base = multiplied(*asked) if multiplied else scale
    # The kernel multiplies the −inf of absent keys as well: zero would give NaN, a negative number +inf.
    number = float(base) if isinstance(base, float | int) and base > 0 else 1.0
    # A multiplier of exactly one leaves the bits of the plain call alone.
    factor = scale / number
    if isinstance(factor, Tensor):
        return query * factor[..., None].to(query.dtype), number
    return query if factor == 1 else query * factor, number


@lru_cache(maxsize=16)
def _visible(scheme: Scheme, span: Span) -> Int64[Tensor, "1 1 queries"]:
    """How many keys each query sees; layer after layer asks the same."""
    counts = [(b - a).clamp(min=0) for a, b in visible_keys(scheme, span)]
    return torch.stack(counts).sum(0)[None, None]
