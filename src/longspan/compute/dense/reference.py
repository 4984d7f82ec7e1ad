"""The meaning: the equation computed densely, differentiable, in any dtype, for every scheme."""

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from longspan.compute.inputs import Inputs, residual
from longspan.compute.places import visible
from longspan.compute.rotate import rotate
from longspan.slots import EVERYWHERE, Band, ScoreBias, Spectrum, VectorBias


def reference(inputs: Inputs) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention by the book, with every n × n tensor written out; work is done in float32 at least."""
    x = inputs
    scores_, exists = scores(x)
    weights = x.scheme.normalizer(scores_, x.weights_of(x.scheme.normalizer))
    if x.scheme.reweight:
        factor = x.scheme.reweight(*_relative(x), x.query.shape[1], x.weights_of(x.scheme.reweight))
        weights = weights * factor.to(weights.dtype)
    return summed(x, weights, exists).to(x.query.dtype)


def scores(
    x: Inputs, within: Band = EVERYWHERE
) -> tuple[Float[Tensor, "batch heads queries keys"], Bool[Tensor, "_ 1 queries keys"]]:
    """All scores, −inf where a pair does not exist or lies outside a band of coordinates, and which pairs are left."""
    scheme = x.scheme
    dtype = torch.promote_types(x.query.dtype, torch.float32)
    query, key = x.query.to(dtype), _per_head(x, x.key).to(dtype)
    if scheme.qk_norm:
        query = scheme.qk_norm.query(query, x.weights_of(scheme.qk_norm))
        key = scheme.qk_norm.key(key, x.weights_of(scheme.qk_norm))

    exists = visible(x.queries, x.keys, scheme.mask, scheme.direction.causal)
    exists = exists & within(x.queries.along()[:, None, :, None], x.keys.along()[:, None, None])
    relative, head = _relative(x)

    found = _products(query, key, x)
    bias = scheme.bias
    if isinstance(bias, VectorBias):
        products = query @ x.weights_of(bias)["key"].to(dtype).T
        found = found + products.gather(-1, bias.row(relative).expand(*products.shape[:-1], -1))
    scale = scheme.scale(x.base_scale, x.weights_of(scheme.scale))
    found = found * (scale[..., None].to(dtype) if isinstance(scale, Tensor) else scale)
    if scheme.sharpness:
        found = found * scheme.sharpness(exists.sum(-1), x.weights_of(scheme.sharpness))[..., None].to(dtype)
    if scheme.cap:
        found = scheme.cap(found)
    if isinstance(bias, ScoreBias):
        found = found + bias(relative, head, query.shape[1], x.weights_of(bias)).to(dtype)
    return found.masked_fill(~exists, -float("inf")), exists


def summed(
    x: Inputs, weights: Float[Tensor, "batch heads queries keys"], exists: Bool[Tensor, "_ 1 queries keys"]
) -> Float[Tensor, "batch heads queries value_dim"]:
    """Values summed with known weights."""
    value, bias = _per_head(x, x.value).to(weights.dtype), x.scheme.bias
    bad = ~value.isfinite().all(-1)
    out = weights @ value.nan_to_num(0.0, 0.0, 0.0) if bad.any() else weights @ value
    if bad.any():
        # A weight of zero times a value that is no number would spoil rows that do not see it.
        out = out.masked_fill((exists & bad[:, :, None]).any(-1, keepdim=True), float("nan"))
    if isinstance(bias, VectorBias):
        rows = x.weights_of(bias)["value"].to(weights.dtype)
        mass = weights.new_zeros(*weights.shape[:-1], len(rows))
        out = out + mass.scatter_add(-1, bias.row(_relative(x)[0]).expand_as(weights), weights) @ rows
    return out


def _relative(x: Inputs) -> tuple[Shaped[Tensor, "_ 1 queries keys"], Int64[Tensor, "heads 1 1"]]:
    """How far keys lie behind queries, and the heads' numbers: what biases see."""
    relative = (x.queries.along()[:, :, None] - x.keys.along()[:, None])[:, None]
    return relative, torch.arange(x.query.shape[1], device=x.query.device)[:, None, None]


def _per_head(x: Inputs, keys: Tensor) -> Tensor:
    return keys.repeat_interleave(x.query.shape[1] // keys.shape[1], 1)


def _products(query: Tensor, key: Tensor, x: Inputs) -> Float[Tensor, "batch heads queries keys"]:
    """⟨R(a) q_i, R(c)⁻ᵀ k_j⟩ with a − c the said distance: one plain product per segment and branch, and a choice."""
    rotation, head_dim = x.scheme.rotation, query.shape[-1]
    if not rotation.spectrum(head_dim).rotary_dim:
        return query @ key.mT
    queries, keys = x.queries.coordinate, x.keys.coordinate
    segments = rotation.segments(int(queries.max()) + 1)
    scores = query.new_zeros(*query.shape[:-1], key.shape[-2])
    for segment in segments:
        rows = (queries[..., 0] >= segment.start) & (queries[..., 0] < segment.stop)
        rows = rows[:, None, :, None]
        for branch in x.scheme.distance.branches():
            holds = branch.holds(queries[..., 0][:, :, None], keys[..., 0][:, None])[:, None] & rows
            spectrum = segment.rotation.spectrum(head_dim).in_sections(branch.sections)
            said = branch.query(queries), branch.key(keys)
            left = residual(said[0], queries, x.query_frame, spectrum), residual(said[1], keys, x.key_frame, spectrum)
            product = _turned_product(query, key, said, left)
            scores = torch.where(holds, product, scores)
    return scores


def _turned_product(
    query: Tensor, key: Tensor, said: tuple[Tensor, Tensor], left: tuple[tuple[Tensor, Spectrum], ...]
) -> Tensor:
    """⟨R(a) q, R(c)⁻ᵀ k⟩ for all pairs; a and c are what is left to turn to where queries and keys are said to stand.

    Where pairs decay, keys grow with their place and queries shrink. Each block of keys has an origin of its own, so
    that a key grows over one block at most and a query only ever shrinks: no length overflows.
    """
    (a, at_query), (c, at_key) = left
    if not at_key.decays:
        return rotate(query, a, at_query) @ rotate(key, c, at_key).mT
    origin = said[1][..., 0].div(at_key.decay_block, rounding_mode="floor") * at_key.decay_block
    grown = rotate(key, c, at_key, origin - c[..., 0])
    product = query.new_zeros(*query.shape[:-1], key.shape[-2])
    for start in origin.unique():
        shrunk = rotate(query, a, at_query, torch.maximum(a - start, a - said[0])[..., 0])
        product = torch.where((origin == start)[:, None, None], shrunk @ grown.mT, product)
    return product
