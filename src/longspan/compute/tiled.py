"""The backend "tiles": a scheme's inputs, document by document, through flash tiles."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from longspan.compute import toeplitz
from longspan.compute.blocks import blocks
from longspan.compute.inputs import Inputs
from longspan.compute.lowering import Cut, Span, View, lower, visible_keys, with_common_views
from longspan.compute.rotate import Tables, rotate, tables, turn
from longspan.compute.spans import Patch, patches
from longspan.compute.tiles import TiledAttention
from longspan.distance.true import TrueDistance
from longspan.slots import Rotation, ScoreBias, Spectrum, VectorBias

STRIP = {torch.float32: 256, torch.float64: 256, torch.bfloat16: 512, torch.float16: 512}
"""Rows of a masked strip: the fastest measured for each dtype."""

LOG_GROWTH = 40.0
"""Natural log of what decaying keys may grow by over one origin: far from float32's and bfloat16's e^88."""


def refusal(x: Inputs) -> str | None:
    """Why tiles cannot serve these inputs; None where they can."""
    return _scheme_refusal(x) or _spans_refusal(x)


def _scheme_refusal(x: Inputs) -> str | None:
    scheme = x.scheme
    if x.query.device.type != "cpu":
        return f"its flash kernel runs on the CPU, the inputs are on {x.query.device}"
    if not scheme.normalizer.streams:
        return f"{scheme.normalizer.name} does not stream over keys"
    if scheme.cap:
        return f"{scheme.cap.name} changes scores inside the kernel"
    if isinstance(scheme.bias, VectorBias):
        return f"{scheme.bias.name} adds vectors to keys and values"
    if scheme.reweight:
        return f"{scheme.reweight.name} changes weights inside the kernel"
    if not isinstance(scheme.distance, TrueDistance) and _decays(scheme.rotation):
        return f"{scheme.rotation.name} decays and {scheme.distance.name} maps its distances"
    return None


def _spans_refusal(x: Inputs) -> str | None:
    found = _patches(x)
    return found if isinstance(found, str) else None


def _patches(x: Inputs) -> list[Patch] | str:
    return patches(x.queries, x.keys, len(x.query), regular=_needs_regular_coordinates(x))


def _needs_regular_coordinates(x: Inputs) -> bool:
    scheme = x.scheme
    plain = isinstance(scheme.distance, TrueDistance) and not _decays(scheme.rotation)
    return not plain or scheme.bias is not None or len(scheme.rotation.segments(2**40)) > 1


def _decays(rotation: Rotation) -> bool:
    return bool(rotation.log_decay(2).any())


def tiles(x: Inputs) -> Float[Tensor, "batch heads queries value_dim"]:
    """Attention over flash tiles; memory grows with queries and keys, never with their product.

    A masked tile adds −inf to the scores of pairs that do not exist, which a NaN or an inf survives. Where the output
    shows one, all is done again without masked tiles, so that rows that do not see it stay clean.
    """
    out = _tiles(x, STRIP[x.query.dtype])
    total = torch.promote_types(out.dtype, torch.float32)
    if bool(out.detach().sum(dtype=total).isfinite()):
        return out
    return blocks(x) if x.scheme.bias else _tiles(x, strip=None)


def _tiles(x: Inputs, strip: int | None) -> Tensor:
    found = _patches(x)
    assert not isinstance(found, str)
    if len(found) == 1 and found[0].rows == slice(0, len(x.query)) and found[0].span.queries == x.query.shape[2]:
        return _patch(x, found[0], strip)
    out = _nothing(x.query, x.value.shape[-1])
    for patch in found:
        out[patch.rows, :, patch.queries : patch.queries + patch.span.queries] = _patch(x, patch, strip)
    return out


def _patch(x: Inputs, patch: Patch, strip: int | None) -> Tensor:
    span, scheme = patch.span, x.scheme
    rows, width = patch.rows, x.value.shape[-1]
    query = x.query[rows, :, patch.queries : patch.queries + span.queries]
    key, value = (t[rows, :, patch.keys : patch.keys + span.keys] for t in (x.key, x.value))
    if scheme.qk_norm:
        query = scheme.qk_norm.query(query, x.weights_of(scheme.qk_norm))
        key = scheme.qk_norm.key(key, x.weights_of(scheme.qk_norm))
    query, scale = _scaled(x, query, span)
    # The kernel wants values as wide as queries: zeros change no score and no output.
    wide = max(query.shape[-1], width)
    decay_span = _decay_span(x)
    forward = lower(scheme, span, Cut(strip), decay_span)
    backward = lower(scheme, span, Cut(None), decay_span) if torch.is_grad_enabled() else forward
    if not forward.tiles:
        return _nothing(query, width)
    forward, backward = with_common_views(forward, backward)
    query_at, key_at = x.queries.coordinate[_row(x.queries, rows)], x.keys.coordinate[_row(x.keys, rows)]
    query_at = query_at[:, patch.queries : patch.queries + span.queries]
    key_at = key_at[:, patch.keys : patch.keys + span.keys]
    turned: list[Tensor] = []
    for view in forward.views:
        q, k = _turned(x, view, query, key, query_at, key_at)
        turned += [_widened(q, wide), _widened(k, wide)]
    diagonal = None
    if isinstance(scheme.bias, ScoreBias):
        dtype = torch.promote_types(query.dtype, torch.float32)
        weights = x.weights_of(scheme.bias)
        diagonal = toeplitz.diagonals(scheme.bias, span, query.shape[1], weights, dtype, query.device)
    logit = scheme.normalizer.extra_logit(query.shape[1], x.weights_of(scheme.normalizer))
    out = TiledAttention.apply(forward, backward, scale, _widened(value, wide), diagonal, logit, *turned)
    assert isinstance(out, Tensor)
    return out[..., :width]


def _widened(x: Tensor, width: int) -> Tensor:
    return pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x


def _nothing(query: Tensor, width: int) -> Tensor:
    """Zeros that are part of the graph, whatever stands in the padding."""
    everywhere = torch.ones((), dtype=torch.bool, device=query.device)
    return query.masked_fill(everywhere, 0.0).sum(-1, keepdim=True).repeat(1, 1, 1, width)


def _row(places, rows: slice) -> slice:
    return rows if len(places.order) > 1 else slice(0, 1)


def _scaled(x: Inputs, query: Tensor, span: Span) -> tuple[Tensor, float]:
    """Queries and the one number that the kernel multiplies scores with."""
    visible = sum((b - a).clamp(min=0) for a, b in visible_keys(x.scheme, span))
    assert isinstance(visible, Tensor)
    asked = (visible[None, None], x.base_scale, x.weights_of(x.scheme.scale))
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


def _decay_span(x: Inputs) -> int:
    """Tokens over which decaying keys may share an origin without leaving the range of the dtype."""
    spectrum = x.scheme.rotation.spectrum(x.query.shape[-1])
    if not spectrum.decays or x.query.dtype == torch.float16:
        return 0
    blocks = LOG_GROWTH / (-float(spectrum.log_decay.min()) * spectrum.decay_block)
    # Where pairs hardly decay, so many blocks would fit that their tokens overflow int64.
    return max(1, int(min(blocks, x.key.shape[2]))) * spectrum.decay_block


def _turn(x: Tensor, place: Tensor, angles: Tables, spectrum: Spectrum) -> Tensor:
    """`turn`, but no copy of what stands still: a cache of many keys is read where it lies."""
    return x if spectrum.gain == 1.0 and not place.any() else turn(x, angles, spectrum.layout)


def _turned(x: Inputs, view: View, query: Tensor, key: Tensor, query_at: Tensor, key_at: Tensor):
    """The view's own queries and keys, turned to where its branch says they stand."""
    branch = x.scheme.distance.branches()[view.branch]
    spectrum = view.rotation.spectrum(query.shape[-1])
    rows, keys = slice(*view.rows), slice(*view.keys)
    a, rest = x.to_turn(branch.query(query_at[:, rows]), query_at[:, rows], spectrum)
    c, _ = x.to_turn(branch.key(key_at[:, keys]), key_at[:, keys], spectrum)
    if view.origin is None:
        q, k = query[:, :, rows], key[:, :, keys]
        if not rest.rotary_dim:
            return q, k
        same = a.shape == c.shape and torch.equal(a, c)
        at_query = tables(a, rest)
        at_key = at_query if same else tables(c, rest)
        return _turn(q, a, at_query, rest), _turn(k, c, at_key, rest)
    shrunk = (a[..., 0] - view.origin).clamp(min=0)
    return rotate(query[:, :, rows], a, spectrum, shrunk), rotate(key[:, :, keys], c, spectrum, view.origin - c[..., 0])
