"""The forward kernel: a block of rows meets the keys that its rows see, sweep after sweep, block after block.

A *sweep* is one interval of keys for each row, with the rotated copies of queries and keys that hold in it: a branch
of the distance, in a segment of the rotation, inside the window or among the sinks. The sweeps of a scheme are disjoint
and share one online softmax, so that nothing is merged afterwards.

    m ← max(m, s_ij)        the largest score so far                    Source: Milakov and Gimelshein 2018,
    l ← Σ_j 2^(s_ij − m)    the sum of the row                          arXiv:1805.02867; Dao 2023, FlashAttention-2,
    o ← Σ_j 2^(s_ij − m) v_j                                            arXiv:2307.08691, algorithm 1
    out = o / l,   lse = m + log₂ l

Queries that share a key head are packed: row r of a block is token r // PACK of head r % PACK.
"""

from typing import no_type_check

import triton
import triton.language as tl

from longspan.compute.kernels.triton.rows import (
    load_rows,
    program_rows,
    row_biases,
    row_factors,
    row_interval,
    row_slopes,
    shrinking,
    sweep_bounds,
    sweep_copies,
)
from longspan.compute.kernels.triton.scoring import LOG2_E, added_bias, column, edge, load_tokens, product, scored

AS_IT_LIES = tl.constexpr(-(2**31))
"""In the place of a row of the angles: the keys of a sweep are rotated already."""


@triton.jit
@no_type_check
def rotated(
    key, base, stride, first, count, exist, angles, partner, first_angle, num_angles,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Rotate the keys first … first + count − 1 on, channel by channel: k cos + k_partner sin.

    Arguments:
        angles: (num_angles, 2, HEAD_DIM), cosine of each channel, and the sine that its partner is multiplied by.
        partner: (CHANNELS), the other channel of each one's pair.
        first_angle: row of the angles for key 0.
    """
    channels, row = tl.arange(0, CHANNELS), first + count + first_angle
    inside = (exist & (row >= 0) & (row < num_angles))[:, None] & (channels < HEAD_DIM)[None, :]
    at = angles + row[:, None] * (2 * HEAD_DIM) + channels[None, :]
    cos, sin = tl.load(at, mask=inside, other=0.0), tl.load(at + HEAD_DIM, mask=inside, other=0.0)
    of_partner = tl.load(partner + channels)
    other = tl.load(
        base + tl.cast(first, tl.int64) * stride + count[:, None] * stride + of_partner[None, :], mask=inside, other=0.0
    )
    return (key.to(tl.float32) * cos + other.to(tl.float32) * sin).to(key.dtype)


@triton.jit
@no_type_check
def shared_blocks(blocks, sweeps, row_batches, places, row_blocks, block, part):
    """First of a program's blocks of keys and one past the last, counted through all sweeps.

    Programs get equal shares of all blocks: of each sweep's, the same few programs would get one more every time.
    """
    total = 0
    for sweep in range(sweeps):
        first, _, _, last = sweep_bounds(blocks, sweep, row_batches, places, row_blocks, block)
        total += last - first
    parts = tl.num_programs(2)
    return total * part // parts, total * (part + 1) // parts


@triton.jit
@no_type_check
def attend_block(
    total, size, largest,
    query, key, value, key_stride, value_stride, bias, row_slope, row_bias, factor, low, high, start, keys, cap,
    angles, partner, first_angle, num_angles,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    KEYS: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """One block of keys joins the online softmax. In a MASKED block some rows do not see some keys."""
    count = tl.arange(0, KEYS)
    in_text = start + count < keys
    k = load_tokens(key, key_stride, start, count, in_text, HEAD_DIM, CHANNELS, MASKED)
    v = load_tokens(value, value_stride, start, count, in_text, VALUE_DIM, VALUE_CHANNELS, MASKED)
    if angles is not None:
        if first_angle > AS_IT_LIES:
            k = rotated(
                k, key, key_stride, start, count, in_text, angles, partner, first_angle, num_angles, HEAD_DIM, CHANNELS
            )  # fmt: skip

    at = start + count[None, :]
    exist = (at >= low[:, None]) & (at < high[:, None])
    products = product(query, tl.trans(k), tl.zeros((query.shape[0], KEYS), tl.float32), PRECISION, WIDE)
    added = added_bias(bias, column(row_slope), column(row_bias), at, exist, MASKED)
    scores, _ = scored(products, factor[:, None], cap, added, exist, MASKED)

    grown = tl.maximum(largest, tl.max(scores, 1))
    # A row that has seen no key yet has no largest score to subtract.
    base = tl.where(grown == -float("inf"), 0.0, grown) if MASKED else grown
    weights = tl.math.exp2(scores - base[:, None])
    shrunk = tl.math.exp2(largest - base)
    size = size * shrunk + tl.sum(weights, 1)
    total = total * shrunk[:, None]
    if MASKED:
        # Zero times a NaN is NaN: a row gets that of a value only where it sees its key.
        wide = v.to(tl.float32)
        zero = tl.sum(wide - wide, 1)  # NaN for a NaN and for an inf
        spoiled = tl.max(tl.where(exist & (zero != 0.0)[None, :], 1, 0), 1)
        size = tl.where(spoiled > 0, float("nan"), size)
        v = tl.where((zero == 0.0)[:, None], v, 0.0)
    total = product(weights.to(v.dtype), v, total, PRECISION, WIDE)
    return total, size, grown


@triton.jit
@no_type_check
def attention(
    query, query_copy, query_batch, query_head, query_stride,
    key, key_copy, key_batch, key_head, key_stride,
    value, value_batch, value_head, value_stride,
    out, out_part, out_batch, out_head, out_stride, lse,
    seen, blocks, copies, row_batches, factor, factor_batch, factor_head, scale, cap,
    bias, bias_head, diagonal, logit, decay, query_origin, sweep_origin, angles, partner, first_angles, num_angles,
    sweeps, queries, keys, num_heads, row_blocks,
    GROUP: tl.constexpr, PACK: tl.constexpr, TOKENS: tl.constexpr, SHARED: tl.constexpr, LINEAR: tl.constexpr,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Output and log-sum-exp of one block of rows.

    Arguments:
        query, key: rotated copies, (copies, batch, heads, tokens, HEAD_DIM) by their strides.
        seen: (sweeps, 1 or batch, queries, 2), first key and one past the last that each row sees.
        blocks: (sweeps, 1 or batch, row_blocks, 4), blocks of keys that a block of rows needs: the first, the first and
            one past the last of those that all its rows see whole, and one past the last.
        copies: (sweeps, 2), the copies of queries and keys.
        factor: scale and sharpness of each row, or None for `scale`.
        bias: (heads, diagonals); `diagonal` (1 or batch, queries) is the diagonal of key 0 for each row. If LINEAR, a
            number per token of distance for each head, and `diagonal` is the distance of key 0.
        logit: (heads), the score of one more key without a value.
        decay: (HEAD_DIM), log₂ of each channel's factor per token between the origins of a query and of a sweep's keys.
        angles, partner, first_angles: see `rotated`; the row of `angles` for key 0 in each sweep, or AS_IT_LIES.
        SHARED: whether several programs share the keys of a block of rows, as many as the grid is deep.
    """
    block, batch, batches, kv_head, first_head, first_token, local, member, exist = program_rows(
        queries, num_heads, row_blocks, GROUP, PACK, TOKENS, ROWS
    )  # fmt: skip
    part = tl.program_id(2)
    token, head = block * TOKENS + local, first_head + member
    places = batch % row_batches
    row_factor = row_factors(factor, factor_batch, factor_head, scale, batch, head, token, ROWS)
    row_bias = row_biases(bias, bias_head, diagonal, places, queries, head, token, LINEAR)
    row_slope = row_slopes(bias, head, ROWS, LINEAR)
    key += batch * key_batch + kv_head * key_head
    value += batch * value_batch + kv_head * value_head
    query += batch * query_batch + first_head * query_head + first_token * query_stride

    total = tl.zeros((ROWS, VALUE_CHANNELS), tl.float32)
    size = tl.zeros((ROWS,), tl.float32)
    largest = tl.full((ROWS,), -float("inf"), tl.float32)
    begin, end, before = 0, 0, 0
    if SHARED:
        begin, end = shared_blocks(blocks, sweeps, row_batches, places, row_blocks, block, part)
    first_angle = AS_IT_LIES
    for sweep in range(sweeps):
        first, whole, rest, last = sweep_bounds(blocks, sweep, row_batches, places, row_blocks, block)
        if SHARED:
            count, start = last - first, first
            first = start + tl.minimum(tl.maximum(begin - before, 0), count)
            last = start + tl.minimum(tl.maximum(end - before, 0), count)
            before += count
            whole = tl.minimum(tl.maximum(whole, first), last)
            rest = tl.maximum(tl.minimum(rest, last), whole)
        if angles is not None:
            first_angle = tl.load(first_angles + sweep)
        low, high = row_interval(seen, sweep, row_batches, places, queries, token)
        q_copy, k_copy = sweep_copies(copies, sweep)
        q = load_rows(query + q_copy * query_copy, query_head, query_stride, member, local, HEAD_DIM, CHANNELS)
        if decay is not None:
            shrunk = shrinking(
                decay, query_origin, sweep_origin, sweep, places, queries, token, HEAD_DIM, CHANNELS
            )  # fmt: skip
            q = (q.to(tl.float32) * shrunk).to(q.dtype)
        k = key + k_copy * key_copy

        for number in range(whole, rest):
            total, size, largest = attend_block(
                total, size, largest,
                q, k, value, key_stride, value_stride, bias, row_slope, row_bias, row_factor, low, high,
                number * KEYS, keys, cap, angles, partner, first_angle, num_angles,
                HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, KEYS, False, PRECISION, WIDE,
            )  # fmt: skip
        for step in range(last - first - (rest - whole)):
            total, size, largest = attend_block(
                total, size, largest,
                q, k, value, key_stride, value_stride, bias, row_slope, row_bias, row_factor, low, high,
                edge(step, first, whole, rest) * KEYS, keys, cap, angles, partner, first_angle, num_angles,
                HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, KEYS, True, PRECISION, WIDE,
            )  # fmt: skip

    if logit is not None:
        if part == 0:
            beside = tl.load(logit + head) * LOG2_E
            grown = tl.maximum(largest, beside)
            shrunk = tl.math.exp2(largest - grown)
            size, total, largest = size * shrunk + tl.math.exp2(beside - grown), total * shrunk[:, None], grown
    empty = size == 0.0
    found = total / tl.where(empty, 1.0, size)[:, None]
    found = tl.where(found - found == 0.0, found, float("nan"))
    value_channel = tl.arange(0, VALUE_CHANNELS)
    out += part.to(tl.int64) * out_part + batch * out_batch + first_head * out_head + first_token * out_stride
    out_at = out + (member * out_head + local * out_stride)[:, None] + value_channel[None, :]
    tl.store(out_at, found.to(out.dtype.element_ty), mask=exist[:, None] & (value_channel < VALUE_DIM)[None, :])
    sums = tl.where(empty, -float("inf"), (largest + tl.math.log2(tl.where(empty, 1.0, size))) / LOG2_E)
    lse_at = lse + ((part * batches + batch) * num_heads + head) * queries + token
    tl.store(lse_at, sums, mask=exist)
