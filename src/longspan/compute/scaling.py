"""How sharp each query is: its factor, and the one number that a kernel multiplies all scores with."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.tiling.lowering import Span, visible_keys
from longspan.memo import remember
from longspan.scheme import Scheme
from longspan.slots import Weights


@dataclass(frozen=True, eq=False)
class Sharpness:
    """What queries are multiplied with.

    Arguments:
        factor: of each query, (batch or 1, heads or 1, queries, 1), in the type of the queries, or of all; None for 1.
        number: that the kernel multiplies scores with.
    """

    factor: Tensor | float | None
    number: float

    def __call__(self, query: Tensor) -> Tensor:
        """Queries with their factor."""
        return query if self.factor is None else query * self.factor


def sharpness(
    scheme: Scheme, span: Span, base: float, weights: Weights, dtype: torch.dtype, device: torch.device
) -> Sharpness:
    """Of the queries of a span; `weights` are the scale's."""
    asked = (_visible(scheme, span).to(device), base, weights)
    scale = scheme.scale(*asked)
    multiplied = scheme.scale.multiplies
    own = multiplied(*asked) if multiplied else scale
    # The kernel multiplies the −inf of absent keys as well: zero would give NaN, a negative number +inf.
    number = float(own) if isinstance(own, float | int) and own > 0 else 1.0
    factor = scale / number
    if isinstance(factor, Tensor):
        return Sharpness(factor[..., None].to(dtype), number)
    # A multiplier of exactly one leaves the bits of the plain call alone.
    return Sharpness(None if factor == 1 else factor, number)


def scaled(x: Inputs, query: Tensor, span: Span) -> tuple[Tensor, float]:
    """Queries and the one number that the kernel multiplies scores with."""
    weights = x.weights_of(x.scheme.scale)
    sharp = sharpness(x.scheme, span, x.base_scale, weights, query.dtype, query.device)
    return sharp(query), sharp.number


@remember(16)
def _visible(scheme: Scheme, span: Span) -> Int64[Tensor, "1 1 queries"]:
    """How many keys each query sees; layer after layer asks the same."""
    counts = [(b - a).clamp(min=0) for a, b in visible_keys(scheme, span)]
    return torch.stack(counts).sum(0)[None, None]
