"""Attention that is more than one softmax, as a sum of softmaxes over tiles.

    vectors       beyond distance K every key gets the same vector a and every value the same u: these scores grow by
                  scale · ⟨q, a⟩, one number per row, and the output grows by u; the band nearer than K is written out
    factors       Σ_j P_j c_j v_j = c_far · out + e^{L⁺ − L} out⁺ − e^{L⁻ − L} out⁻, where out± and L± are output and
                  log-sum-exp of a softmax over the band nearer than K with ln c± added, c⁺ − c⁻ = c − c_far, c± > 0
    order p       e^{s_j} / (Σ_k e^{p s_k})^{1/p} = softmax_j(s) · e^{L(s) − L(p s) / p}

Every log-sum-exp L is differentiable, so the gradients come from the same tiles.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.tiling import near, toeplitz
from longspan.compute.tiling.softmax import SpanSoftmax, nothing
from longspan.slots import EVERYWHERE, Band, Reweight, VectorBias

LEAST = 1e-3
"""c± are at least this fraction of the largest factor: their logarithms stay finite, and the added parts cancel."""


def attention(x: SpanSoftmax) -> Float[Tensor, "batch heads queries value_dim"]:
    """The output of the span; a row without keys gives zeros."""
    scheme = x.inputs.scheme
    out, lse = _softmax(x, 1.0, x.logit)
    if scheme.reweight:
        out = _reweighted(x, scheme.reweight, out, lse)
    order = scheme.normalizer.order
    if order is not None and order != 1:
        out = out * share(lse, _softmax(x, order, None)[1] / order)
    return out.to(x.query.dtype)


def share(part: Float[Tensor, "*rows"], total: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows 1"]:
    """e^{part − total}, and 0 for a row without keys."""
    return (part - total.masked_fill(total == -torch.inf, 0.0)).exp()[..., None]


def _softmax(x: SpanSoftmax, order: float, logit: Tensor | None) -> tuple[Tensor, Tensor]:
    bias = x.inputs.scheme.bias
    return _vectored(x, bias, order, logit) if isinstance(bias, VectorBias) else x.attend(order=order, logit=logit)


def _reweighted(x: SpanSoftmax, reweight: Reweight, out: Tensor, lse: Tensor) -> Tensor:
    heads, device, weights = x.query.shape[1], x.query.device, x.inputs.weights_of(reweight)
    factor = toeplitz.diagonals(reweight, x.span, heads, weights, x.dtype, device)
    reach = reweight.constant_beyond
    if reach is None:
        band, far = EVERYWHERE, factor.new_zeros(heads, 1)
    else:
        head = torch.arange(heads, device=device)[:, None]
        band = Band(stop=reach)
        far = reweight(torch.full((1, 1), reach, device=device), head, heads, weights).to(factor)
    least = LEAST * torch.cat([factor, far], 1).detach().abs().amax(1, keepdim=True).clamp(min=1e-30)
    more = factor - far
    result = out * far[..., None]
    for sign in (1, -1):
        part, part_lse = x.attend(band, added=((more.abs() + sign * more) / 2 + least).log())
        result = result + sign * share(part_lse, lse) * part
    return result


def _vectored(x: SpanSoftmax, bias: VectorBias, order: float, logit: Tensor | None) -> tuple[Tensor, Tensor]:
    reach = bias.constant_beyond
    assert reach is not None
    weights = x.inputs.weights_of(bias)
    parts = [near.attend(x, reach, order)] if reach else []
    for band, relative in ((Band(start=reach), reach), (Band(stop=min(0, 1 - reach)), min(-1, -reach))):
        row = bias.row(torch.tensor(relative, device=x.query.device))
        key, value = (weights[name][row].to(x.dtype) for name in ("key", "value"))
        out, lse = x.attend(band, order=order)
        parts.append((out + value, lse + (x.query.to(x.dtype) @ key) * (x.scale * order)))
    if logit is not None:
        parts.append((nothing(x.query, x.value.shape[-1]), logit[:, None].to(x.dtype).expand_as(parts[0][1])))
    return _merged(parts)


def _merged(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Merge softmaxes over disjoint keys into one."""
    sums = torch.stack([lse for _, lse in parts])
    top = sums.detach().amax(0)
    empty = top == -torch.inf
    grown = (sums - top.masked_fill(empty, 0.0)).exp().sum(0)
    # The logarithm of an empty row's zero would turn its gradient of zero into NaN.
    total = top + grown.masked_fill(empty, 1.0).log()
    return sum(share(lse, total) * out for out, lse in parts), total  # pyright: ignore[reportReturnType]
