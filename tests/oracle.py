"""The equation as literal loops in float64: one statement of truth, slow on purpose.

It shares no code with `compute/`: pairs are visited one by one, rotation is written out with cos and sin of the *mapped
distance* (the backends rotate queries and keys separately, branch by branch), tokens are counted one by one.
"""

from collections.abc import Mapping
from math import cos, exp, inf, sin

import torch
from torch import Tensor

from longspan.compute.places import Places
from longspan.scheme import Scheme
from longspan.slots import ScoreBias, VectorBias


def oracle(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scheme: Scheme,
    queries: Places,
    keys: Places,
    weights: Mapping[str, Tensor],
    base_scale: float,
) -> Tensor:
    """The output of attention in float64, (batch, heads, queries, value_dim)."""
    query, key, value = query.double(), key.double(), value.double()
    batch, heads, num_queries, _ = query.shape
    out = torch.zeros(batch, heads, num_queries, value.shape[-1], dtype=torch.float64)
    for b in range(batch):
        for i in range(num_queries):
            seen = [j for j in range(key.shape[2]) if _exists(scheme, queries, keys, b, i, j)]
            if seen:
                tensors = query[b, :, i], key[b], value[b]
                out[b, :, i] = _row(*tensors, scheme, queries, keys, weights, base_scale, b, i, seen)
    return out


def counted(count: int, documents: Tensor | None, padding: Tensor | None, positions: Tensor | None) -> Places:
    """Order, position and document of tokens, counted one by one: what lies between tokens of a document is skipped."""
    batch = max(len(given) for given in (documents, padding, torch.zeros(1)) if given is not None)
    order, document = torch.zeros(2, batch, count, dtype=torch.int64)
    for b in range(batch):
        seen: dict[int, int] = {}
        for j in range(count):
            number = 0 if documents is None else int(documents[min(b, len(documents) - 1), j])
            padded = padding is not None and bool(padding[min(b, len(padding) - 1), j])
            order[b, j] = seen.get(number, 0)
            document[b, j] = -1 if padded else number
            seen[number] = seen.get(number, 0) + (not padded)
    return Places(order, order[..., None] if positions is None else positions, document)


def _at(places: Places, b: int) -> int:
    return b if len(places.order) > 1 else 0


def _exists(scheme: Scheme, queries: Places, keys: Places, b: int, i: int, j: int) -> bool:
    bq, bk = _at(queries, b), _at(keys, b)
    if queries.document[bq, i] != keys.document[bk, j] or queries.document[bq, i] < 0:
        return False
    return bool(scheme.mask(queries.order[bq, i], keys.order[bk, j], scheme.direction.causal))


def _row(query, key, value, scheme, queries, keys, weights, base_scale, b, i, seen) -> Tensor:
    heads, group = len(query), len(query) // len(key)
    m = queries.coordinate[_at(queries, b), i]
    bk = _at(keys, b)
    visible = torch.tensor(len(seen)).reshape(1, 1, 1)
    scale = scheme.scale(base_scale, scheme.weights_of(scheme.scale, weights))
    sharpness = scheme.sharpness and scheme.sharpness(visible, scheme.weights_of(scheme.sharpness, weights))
    scores = torch.full((1, heads, 1, key.shape[1]), -inf, dtype=torch.float64)
    relatives, rows = {}, {}
    for h in range(heads):
        for j in seen:
            n = keys.coordinate[bk, j]
            relatives[j] = m[0] - n[0]
            q, k = query[h], key[h // group, j]
            if scheme.qk_norm:
                learned = scheme.weights_of(scheme.qk_norm, weights)
                q, k = scheme.qk_norm.query(q, learned), scheme.qk_norm.key(k, learned)
            score = _rotated(q.tolist(), k.tolist(), scheme, m, n)
            if isinstance(scheme.bias, VectorBias):
                rows[j] = int(scheme.bias.row(relatives[j]))
                table = scheme.weights_of(scheme.bias, weights)["key"].double()
                score += sum(x * y for x, y in zip(q.tolist(), table[rows[j]].tolist(), strict=True))
            score *= float(scale.expand(1, heads, 1)[0, h, 0]) if isinstance(scale, Tensor) else scale
            if sharpness is not None:
                score *= float(sharpness.expand(1, heads, 1)[0, h, 0])
            if scheme.cap:
                score = float(scheme.cap(torch.tensor(score, dtype=torch.float64)))
            if isinstance(scheme.bias, ScoreBias):
                learned = scheme.weights_of(scheme.bias, weights)
                score += float(scheme.bias(relatives[j], torch.tensor(h), heads, learned))
            scores[0, h, 0, j] = score
    attention = scheme.normalizer(scores, scheme.weights_of(scheme.normalizer, weights))[0, :, 0]
    out = torch.zeros(heads, value.shape[-1], dtype=torch.float64)
    for h in range(heads):
        for j in seen:
            weight = float(attention[h, j])
            if scheme.reweight:
                learned = scheme.weights_of(scheme.reweight, weights)
                weight *= float(scheme.reweight(relatives[j], torch.tensor(h), heads, learned))
            vector = value[h // group, j]
            if rows:
                vector = vector + scheme.weights_of(scheme.bias, weights)["value"].double()[rows[j]]
            out[h] += weight * vector
    return out


def _rotated(q: list[float], k: list[float], scheme: Scheme, m: Tensor, n: Tensor) -> float:
    """⟨R(mapped distance) q, k⟩, pair by pair."""
    rotation = scheme.rotation
    for segment in rotation.segments(int(m[0]) + 1):
        if segment.start <= m[0] < segment.stop:
            rotation = segment.rotation
    spectrum = rotation.spectrum(len(q))
    pairs = len(spectrum.frequencies)
    sections = scheme.distance.per_section()
    total = sum(x * y for x, y in zip(q[2 * pairs :], k[2 * pairs :], strict=True))
    for p in range(pairs):
        axis = int(spectrum.axis[p])
        mapped = float(sections[p * len(sections) // pairs](m[axis], n[axis]))
        angle = mapped * float(spectrum.frequencies[p])
        a, b = (p, p + pairs) if spectrum.layout == "half" else (2 * p, 2 * p + 1)
        rotated = (q[a] * cos(angle) - q[b] * sin(angle)) * k[a] + (q[b] * cos(angle) + q[a] * sin(angle)) * k[b]
        total += rotated * spectrum.gain**2 * exp(float(spectrum.log_decay[p]) * mapped)
    return total
