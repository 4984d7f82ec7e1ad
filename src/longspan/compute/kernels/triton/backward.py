"""The backward kernels: gradients of queries (a block of rows meets its keys) and of keys and values (the reverse).

    P_ij = 2^(s_ij − lse_i)                      the weights again, from the log-sum-exp of whole rows
    dV_j = Σ_i P_ij dO_i
    dS_ij = P_ij ( ⟨dO_i, v_j⟩ − δ_i )           δ_i = ⟨dO_i, O_i⟩ − dlse_i
    dQ_i = Σ_j dS_ij · slope_ij · factor_i · k_j     slope: of the cap
    dK_j = Σ_i dS_ij · slope_ij · factor_i · q_i
    dbias_h(d) = Σ_{i − j = d} dS_ij

Source: Dao 2023, FlashAttention-2, arXiv:2307.08691, algorithm 2; two kernels instead of atomic additions to dQ.
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
from longspan.compute.kernels.triton.scoring import LOG2_E, added_bias, column, edge, line, load_tokens, product, scored


@triton.jit
@no_type_check
def differentiated(products, of_weights, factor, cap, added, exist, lse, delta, MASKED: tl.constexpr):
    """Weights P, gradient dS of the scores, and dS · slope, from products and ⟨dO, v⟩."""
    scores, slope = scored(products, factor, cap, added, exist, MASKED)
    weights = tl.math.exp2(scores - lse)
    of_scores = weights * (of_weights - delta)
    if MASKED:  # NaN is what zero times the NaN of an unseen key, value or row would be
        weights = tl.where(exist, weights, 0.0)
        of_scores = tl.where(exist, of_scores, 0.0)
    return weights, of_scores, of_scores * slope


@triton.jit
@no_type_check
def row_sums(lse, delta, batch, num_heads, queries, head, token):
    """Log-sum-exp, in powers of two, and δ of each row."""
    at = (batch * num_heads + head) * queries + token
    sums = tl.load(lse + at)
    return tl.where(sums == -float("inf"), 0.0, sums) * LOG2_E, tl.load(delta + at)


@triton.jit
@no_type_check
def add_to(at, more, exist):
    """Add to memory that this program alone writes; the next sweep may read it in other threads."""
    tl.store(at, tl.load(at, mask=exist, other=0.0) + more, mask=exist)
    tl.debug_barrier()


@triton.jit
@no_type_check
def query_block(
    total,
    query, grad, key, value, key_stride, value_stride, bias, bias_grad, row_slope, row_bias, factor, lse, delta,
    there, low, high, start, keys, cap,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Add what one block of keys gives to the gradient of queries."""
    count = tl.arange(0, KEYS)
    in_text = start + count < keys
    k = load_tokens(key, key_stride, start, count, in_text, HEAD_DIM, CHANNELS, MASKED)
    v = load_tokens(value, value_stride, start, count, in_text, VALUE_DIM, VALUE_CHANNELS, MASKED)
    at = start + count[None, :]
    exist = (at >= low[:, None]) & (at < high[:, None])
    nothing = tl.zeros((ROWS, KEYS), tl.float32)
    products = product(query, tl.trans(k), nothing, PRECISION, WIDE)
    of_weights = product(grad, tl.trans(v), nothing, PRECISION, WIDE)
    added = added_bias(bias, column(row_slope), column(row_bias), at, exist, MASKED)
    _, of_scores, of_products = differentiated(
        products, of_weights, factor[:, None], cap, added, exist, lse[:, None], delta[:, None], MASKED
    )
    if bias_grad is not None:
        tl.atomic_add(bias_grad + (row_bias[:, None] - at), of_scores, mask=exist & there[:, None])
    return product(of_products.to(k.dtype), k, total, PRECISION, WIDE)


@triton.jit
@no_type_check
def query_gradient(
    query, query_copy, query_batch, query_head, query_stride,
    key, key_copy, key_batch, key_head, key_stride,
    value, value_batch, value_head, value_stride,
    grad, grad_batch, grad_head, grad_stride, lse, delta, query_grad, bias_grad,
    seen, blocks, copies, row_batches, factor, factor_batch, factor_head, scale, cap,
    bias, bias_head, diagonal, decay, query_origin, sweep_origin,
    sweeps, queries, keys, num_heads, row_blocks,
    GROUP: tl.constexpr, PACK: tl.constexpr, TOKENS: tl.constexpr, LINEAR: tl.constexpr,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradients of one block of rows, for each rotated copy of the queries.

    Arguments, beside those of the forward kernel:
        grad: gradient of the output.
        lse, delta: (batch, heads, queries).
        query_grad: (copies, batch, heads, queries, HEAD_DIM) in float32, zeros.
        bias_grad: (heads, distances) in float32, zeros; None where nobody asks for it.
    """
    block, batch, batches, kv_head, first_head, first_token, local, member, exist = program_rows(
        queries, num_heads, row_blocks, GROUP, PACK, TOKENS, ROWS
    )  # fmt: skip
    token, head = block * TOKENS + local, first_head + member
    places = batch % row_batches
    row_factor = row_factors(factor, factor_batch, factor_head, scale, batch, head, token, ROWS)
    row_bias = row_biases(bias, bias_head, diagonal, places, queries, head, token, LINEAR)
    row_slope = row_slopes(bias, head, ROWS, LINEAR)
    sums, deltas = row_sums(lse, delta, batch, num_heads, queries, head, token)
    grad += batch * grad_batch + first_head * grad_head + first_token * grad_stride
    g = load_rows(grad, grad_head, grad_stride, member, local, VALUE_DIM, VALUE_CHANNELS)
    key += batch * key_batch + kv_head * key_head
    value += batch * value_batch + kv_head * value_head
    query += batch * query_batch + first_head * query_head + first_token * query_stride
    channel = tl.arange(0, CHANNELS)

    for sweep in range(sweeps):
        first, whole, rest, last = sweep_bounds(blocks, sweep, row_batches, places, row_blocks, block)
        if last > first:
            low, high = row_interval(seen, sweep, row_batches, places, queries, token)
            q_copy, k_copy = sweep_copies(copies, sweep)
            q = load_rows(query + q_copy * query_copy, query_head, query_stride, member, local, HEAD_DIM, CHANNELS)
            if decay is not None:
                shrunk = shrinking(
                    decay, query_origin, sweep_origin, sweep, places, queries, token, HEAD_DIM, CHANNELS
                )  # fmt: skip
                q = (q.to(tl.float32) * shrunk).to(q.dtype)
            k = key + k_copy * key_copy
            total = tl.zeros((ROWS, CHANNELS), tl.float32)
            for number in range(whole, rest):
                total = query_block(
                    total, q, g, k, value, key_stride, value_stride, bias, bias_grad, row_slope, row_bias, row_factor,
                    sums, deltas, exist, low, high, number * KEYS, keys, cap,
                    HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, ROWS, KEYS, False, PRECISION, WIDE,
                )  # fmt: skip
            for step in range(last - first - (rest - whole)):
                total = query_block(
                    total, q, g, k, value, key_stride, value_stride, bias, bias_grad, row_slope, row_bias, row_factor,
                    sums, deltas, exist, low, high, edge(step, first, whole, rest) * KEYS, keys, cap,
                    HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, ROWS, KEYS, True, PRECISION, WIDE,
                )  # fmt: skip
            total *= row_factor[:, None]
            if decay is not None:
                total *= shrunk
            first_row = ((q_copy * batches + batch) * num_heads + first_head) * queries + first_token
            rows = member * queries + local
            add_to(
                query_grad + first_row * HEAD_DIM + rows[:, None] * HEAD_DIM + channel[None, :], total,
                exist[:, None] & (channel < HEAD_DIM)[None, :],
            )  # fmt: skip


@triton.jit
@no_type_check
def key_block(
    of_keys, of_values,
    key, value, query, grad, query_stride, grad_stride, start, keys, block, head, batch, places, sweep,
    seen, row_batches, factor, factor_batch, factor_head, scale, cap, bias, bias_head, diagonal,
    decay, query_origin, sweep_origin, lse, delta, queries, num_heads,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
    OF_KEYS: tl.constexpr, OF_VALUES: tl.constexpr, LINEAR: tl.constexpr,
):  # fmt: skip
    """Add what one block of rows of one head gives to the gradients of keys and values; pairs are (keys, rows)."""
    first, count = block * ROWS, tl.arange(0, ROWS)
    there = first + count < queries
    q = load_tokens(query, query_stride, first, count, there, HEAD_DIM, CHANNELS, MASKED)
    g = load_tokens(grad, grad_stride, first, count, there, VALUE_DIM, VALUE_CHANNELS, MASKED)
    token = tl.minimum(first + count, queries - 1) if MASKED else first + count
    if decay is not None:
        shrunk = shrinking(
            decay, query_origin, sweep_origin, sweep, places, queries, token, HEAD_DIM, CHANNELS
        )  # fmt: skip
        q = (q.to(tl.float32) * shrunk).to(q.dtype)
    sums, deltas = row_sums(lse, delta, batch, num_heads, queries, head, token)
    nothing = tl.zeros((KEYS, ROWS), tl.float32)
    products = product(key, tl.trans(q), nothing, PRECISION, WIDE)
    of_weights = product(value, tl.trans(g), nothing, PRECISION, WIDE)
    low, high = row_interval(seen, sweep, row_batches, places, queries, token)
    row_factor = row_factors(factor, factor_batch, factor_head, scale, batch, head, token, ROWS)
    row_bias = row_biases(bias, bias_head, diagonal, places, queries, head, token, LINEAR)
    row_slope = row_slopes(bias, head, ROWS, LINEAR)
    at = (start + tl.arange(0, KEYS))[:, None]
    exist = (at >= low[None, :]) & (at < high[None, :]) & there[None, :]
    added = added_bias(bias, line(row_slope), line(row_bias), at, exist, MASKED)
    weights, _, of_products = differentiated(
        products, of_weights, row_factor[None, :], cap, added, exist, sums[None, :], deltas[None, :], MASKED
    )
    of_products *= row_factor[None, :]
    if OF_VALUES:
        of_values = product(weights.to(g.dtype), g, of_values, PRECISION, WIDE)
    if OF_KEYS:
        of_keys = product(of_products.to(q.dtype), q, of_keys, PRECISION, WIDE)
    return of_keys, of_values


@triton.jit
@no_type_check
def key_gradient(
    query, query_copy, query_batch, query_head, query_stride,
    key, key_copy, key_batch, key_head, key_stride,
    value, value_batch, value_head, value_stride,
    grad, grad_batch, grad_head, grad_stride, lse, delta, key_grad, value_grad,
    seen, rows_of_keys, copies, row_batches, factor, factor_batch, factor_head, scale, cap,
    bias, bias_head, diagonal, decay, query_origin, sweep_origin,
    sweeps, queries, keys, num_heads, key_blocks,
    GROUP: tl.constexpr, LINEAR: tl.constexpr,
    HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr, VALUE_DIM: tl.constexpr, VALUE_CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, KEYS: tl.constexpr, PRECISION: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradients of one block of keys and values of one key head, over all heads that share it.

    Either gradient may be None: where registers do not suffice for both, two launches make them.

    Arguments, beside those of the forward kernel:
        grad, lse, delta: as of `query_gradient`.
        key_grad: (copies, batch, kv_heads, keys, HEAD_DIM) in float32, zeros.
        value_grad: (batch, kv_heads, keys, VALUE_DIM).
        rows_of_keys: (sweeps, 1 or batch, key_blocks, 4), the rows that see a block: the first, the first and one past
            the last of those that see all of it, and one past the last.
    """
    block = tl.program_id(0)
    kv_heads = num_heads // GROUP
    batch = (tl.program_id(1) // kv_heads).to(tl.int64)
    kv_head = tl.program_id(1) % kv_heads
    batches = tl.num_programs(1) // kv_heads
    places = batch % row_batches
    start, count = block * KEYS, tl.arange(0, KEYS)
    in_text = start + count < keys
    channel, value_channel = tl.arange(0, CHANNELS), tl.arange(0, VALUE_CHANNELS)
    key += batch * key_batch + kv_head * key_head
    v = load_tokens(
        value + batch * value_batch + kv_head * value_head, value_stride, start, count, in_text,
        VALUE_DIM, VALUE_CHANNELS, True,
    )  # fmt: skip
    of_values = tl.zeros((KEYS, VALUE_CHANNELS), tl.float32)
    row = (batch * kv_heads + kv_head) * keys + start

    for sweep in range(sweeps):
        first, whole, rest, last = sweep_bounds(rows_of_keys, sweep, row_batches, places, key_blocks, block)
        if last > first:
            # From rows to blocks of rows: those that see the block of keys whole, and those at the edges.
            first, last = first // ROWS, (last + ROWS - 1) // ROWS
            whole = tl.minimum((whole + ROWS - 1) // ROWS, last)
            rest = tl.maximum(tl.minimum(rest // ROWS, last), whole)
            q_copy, k_copy = sweep_copies(copies, sweep)
            k = load_tokens(
                key + k_copy * key_copy, key_stride, start, count, in_text, HEAD_DIM, CHANNELS, True
            )  # fmt: skip
            of_keys = tl.zeros((KEYS, CHANNELS), tl.float32)
            for member in range(GROUP):
                head = kv_head * GROUP + member
                q_base = query + q_copy * query_copy + batch * query_batch + head * query_head
                g_base = grad + batch * grad_batch + head * grad_head
                for number in range(whole, rest):
                    of_keys, of_values = key_block(
                        of_keys, of_values, k, v, q_base, g_base, query_stride, grad_stride, start, keys, number,
                        head, batch, places, sweep, seen, row_batches, factor, factor_batch, factor_head, scale, cap,
                        bias, bias_head, diagonal, decay, query_origin, sweep_origin, lse, delta, queries, num_heads,
                        HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, ROWS, KEYS, False, PRECISION, WIDE,
                        key_grad is not None, value_grad is not None, LINEAR,
                    )  # fmt: skip
                for step in range(last - first - (rest - whole)):
                    of_keys, of_values = key_block(
                        of_keys, of_values, k, v, q_base, g_base, query_stride, grad_stride, start, keys,
                        edge(step, first, whole, rest),
                        head, batch, places, sweep, seen, row_batches, factor, factor_batch, factor_head, scale, cap,
                        bias, bias_head, diagonal, decay, query_origin, sweep_origin, lse, delta, queries, num_heads,
                        HEAD_DIM, CHANNELS, VALUE_DIM, VALUE_CHANNELS, ROWS, KEYS, True, PRECISION, WIDE,
                        key_grad is not None, value_grad is not None, LINEAR,
                    )  # fmt: skip
            if key_grad is not None:
                copy_row = k_copy * batches * kv_heads * keys + row
                add_to(
                    key_grad + copy_row * HEAD_DIM + (count[:, None] * HEAD_DIM + channel[None, :]), of_keys,
                    in_text[:, None] & (channel < HEAD_DIM)[None, :],
                )  # fmt: skip
    if value_grad is not None:
        tl.store(
            value_grad + row * VALUE_DIM + (count[:, None] * VALUE_DIM + value_channel[None, :]),
            of_values.to(value_grad.dtype.element_ty), mask=in_text[:, None] & (value_channel < VALUE_DIM)[None, :],
        )  # fmt: skip
