"""Plain causal attention as a Triton kernel, to count instructions beside: no scheme, no packing, no documents.

Source of the algorithm: Dao 2023, FlashAttention-2, arXiv:2307.08691, algorithm 1.
"""

import triton
import triton.language as tl


@triton.jit
def attend(query, key, value, out, lse, scale, keys, D: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr):
    """One block of rows of one head; tensors are (heads, tokens, D) and tokens a multiple of a block."""
    block, head = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1)
    row, count, channel = block * ROWS + tl.arange(0, ROWS), tl.arange(0, KEYS), tl.arange(0, D)
    key += head.to(tl.int64) * keys * D
    value += head.to(tl.int64) * keys * D
    tile = row[:, None] * D + channel[None, :]
    q = tl.load(query + head.to(tl.int64) * keys * D + tile)
    total = tl.zeros((ROWS, D), tl.float32)
    size, largest = tl.zeros((ROWS,), tl.float32), tl.full((ROWS,), -float("inf"), tl.float32)
    factor = scale * 1.4426950408889634
    whole = block * ROWS // KEYS
    for number in range(whole):
        k = tl.load(key + number * KEYS * D + count[:, None] * D + channel[None, :])
        v = tl.load(value + number * KEYS * D + count[:, None] * D + channel[None, :])
        scores = tl.dot(q, tl.trans(k)) * factor
        grown = tl.maximum(largest, tl.max(scores, 1))
        weights, shrunk = tl.math.exp2(scores - grown[:, None]), tl.math.exp2(largest - grown)
        size, total, largest = size * shrunk + tl.sum(weights, 1), total * shrunk[:, None], grown
        total = tl.dot(weights.to(v.dtype), v, total)
    for number in range(whole, whole + ROWS // KEYS):
        k = tl.load(key + number * KEYS * D + count[:, None] * D + channel[None, :])
        v = tl.load(value + number * KEYS * D + count[:, None] * D + channel[None, :])
        scores = tl.dot(q, tl.trans(k)) * factor
        scores = tl.where(number * KEYS + count[None, :] <= row[:, None], scores, -float("inf"))
        grown = tl.maximum(largest, tl.max(scores, 1))
        weights, shrunk = tl.math.exp2(scores - grown[:, None]), tl.math.exp2(largest - grown)
        size, total, largest = size * shrunk + tl.sum(weights, 1), total * shrunk[:, None], grown
        total = tl.dot(weights.to(v.dtype), v, total)
    tl.store(out + head.to(tl.int64) * keys * D + tile, (total / size[:, None]).to(out.dtype.element_ty))
    tl.store(lse + head * keys + row, largest + tl.math.log2(size))
