"""Between a layer's channels and its heads; sums over a text are kept in float32 at least."""

import torch
from jaxtyping import Float
from torch import Tensor


def to_heads(x: Float[Tensor, "batch *tokens hidden"], weight: Float[Tensor, "heads width hidden"]) -> Tensor:
    """Project onto heads: (batch, heads, width), or (batch, heads, tokens, width); in float32 at least."""
    return torch.einsum("b...d,hkd->bh...k", x, weight).to(summing(x.dtype))


def from_heads(y: Tensor, weight: Float[Tensor, "hidden heads width"]) -> Tensor:
    """Project (batch, heads, …, width) back onto channels, in the dtype of the weight."""
    return torch.einsum("bh...k,dhk->b...d", y.to(weight.dtype), weight)


def summing(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which numbers of a dtype are summed over a text: a sum in 16 bits stops to grow."""
    return torch.promote_types(dtype, torch.float32)
