"""The definition: the equation computed densely, differentiable, in any dtype, for every scheme."""

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from longspan.compute.dense import memory
from longspan.compute.inputs import Inputs, residual
from longspan.compute.places import visible
from longspan.compute.rotate import rotate
from longspan.slots import EVERYWHERE, Band, ScoreBias, Spectrum, VectorBias


def reference(inputs: Inputs) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention with every n × n tensor written out, computed in float32 at least."""
    x = inputs
    if x.scheme.memory:
        return memory.attention(x)[0]
    scores_, exists = scores(x)
    weights = x.scheme.normalizer(scores_, x.weights_of(x.scheme.normalizer))
    if x.scheme.reweight:
        factor = x.scheme.reweight(*_relative(x), x.query.shape[1], x.weights_of(x.scheme.reweight))
        weights = weights * factor.to(weights.dtype)
    return summed(x, weights, exists).to(x.query.dtype)


def scores(
    x: Inputs, within: Band = EVERYWHERE
) -> tuple[Float[Tensor, "batch heads queries keys"], Bool[Tensor, "_ 1 queries keys"]]:
    """All scores, −inf where a pair does not exist or lies outside a band of positions, and which pairs are left."""
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
    """The sum of the values with known weights."""
    value, bias = _per_head(x, x.value).to(weights.dtype), x.scheme.bias
    bad = ~value.isfinite().all(-1)
    # A device is not asked whether there is one, for which the CPU would have to wait.
    spoiled = not value.is_cpu or bool(bad.any())
    out = weights @ value.nan_to_num(0.0, 0.0, 0.0) if spoiled else weights @ value
    if spoiled:
        # Zero times a NaN or an inf is NaN: a row that does not see such a value must not get it.
        out = out.masked_fill((exists & bad[:, :, None]).any(-1, keepdim=True), float("nan"))
    if isinstance(bias, VectorBias):
        rows = x.weights_of(bias)["value"].to(weights.dtype)
        mass = weights.new_zeros(*weights.shape[:-1], len(rows))
        out = out + mass.scatter_add(-1, bias.row(_relative(x)[0]).expand_as(weights), weights) @ rows
    return out


def _relative(x: Inputs) -> tuple[Shaped[Tensor, "_ 1 queries keys"], Int64[Tensor, "heads 1 1"]]:
    """i − j for all pairs, and the numbers of the heads: the arguments of biases."""
    relative = (x.queries.along()[:, :, None] - x.keys.along()[:, None])[:, None]
    return relative, torch.arange(x.query.shape[1], device=x.query.device)[:, None, None]


def _per_head(x: Inputs, keys: Tensor) -> Tensor:
    return keys.repeat_interleave(x.query.shape[1] // keys.shape[1], 1)


def _products(query: Tensor, key: Tensor, x: Inputs) -> Float[Tensor, "batch heads queries keys"]:
    """⟨R(a) q_i, R(c)⁻ᵀ k_j⟩, where a − c is the mapped distance: per segment and branch one product for all pairs, of
    which the pairs of that segment and branch are kept.
    """
    rotation, head_dim = x.scheme.rotation, query.shape[-1]
    if not rotation.spectrum(head_dim).rotary_dim:
        return query @ key.mT
    queries, keys = x.queries.coordinate, x.keys.coordinate
    segments = rotation.segments(int(x.queries.here.coordinate.max()) + 1)
    scores = query.new_zeros(*query.shape[:-1], key.shape[-2])
    for segment in segments:
        rows = (queries[..., 0] >= segment.start) & (queries[..., 0] < segment.stop)
        rows = rows[:, None, :, None]
        for branch in x.scheme.distance.branches():
            holds = branch.holds(queries[..., 0][:, :, None], keys[..., 0][:, None])[:, None] & rows
            spectrum = segment.rotation.spectrum(head_dim).in_sections(branch.sections)
            mapped = branch.query(queries), branch.key(keys)
            missing = (
                residual(mapped[0], queries, x.query_frame, spectrum),
                residual(mapped[1], keys, x.key_frame, spectrum),
            )
            block = spectrum.decay_block
            origins = _origins(branch.key(x.keys.here.coordinate), block).unique().tolist() if spectrum.decays else []
            product = _rotated_product(query, key, mapped, missing, origins)
            scores = torch.where(holds, product, scores)
    return scores


def _rotated_product(
    query: Tensor, key: Tensor, mapped: tuple[Tensor, Tensor], missing: tuple[tuple[Tensor, Spectrum], ...],
    origins: list[int],
) -> Tensor:  # fmt: skip
    """⟨R(a) q, R(c)⁻ᵀ k⟩ for all pairs; a and c are the rotations still missing from queries and keys.

    Where pairs decay, keys grow with their position and queries shrink. Each block of keys has an origin of its own, so
    that a key grows over one block at most and a query only shrinks: nothing overflows at any length. `origins` are
    those of the keys, where pairs decay.
    """
    (a, of_query), (c, of_key) = missing
    if not of_key.decays:
        return rotate(query, a, of_query) @ rotate(key, c, of_key).mT
    origin = _origins(mapped[1], of_key.decay_block)
    grown = rotate(key, c, of_key, origin - c[..., 0])
    product = query.new_zeros(*query.shape[:-1], key.shape[-2])
    for start in origins:
        shrunk = rotate(query, a, of_query, torch.maximum(a - start, a - mapped[0])[..., 0])
        product = torch.where((origin == start)[:, None, None], shrunk @ grown.mT, product)
    return product


def _origins(mapped: Tensor, block: int) -> Tensor:
    """The position that the decay of each key is relative to."""
    return mapped[..., 0].div(block, rounding_mode="floor") * block
