"""The rows of a program: which tokens and heads they are, and what a sweep gives them."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def packed_rows(block, queries, PACK: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr):
    """Token and head of each row, counted from the first ones of the block, and whether the row exists.

    Row r is token r // PACK of head r % PACK. Rows that do not exist repeat the last token, so that whatever they read
    is there; they are never stored.
    """
    row = tl.arange(0, ROWS)
    token, tokens = row // PACK, tl.minimum(TOKENS, queries - block * TOKENS)
    return tl.minimum(token, tokens - 1), row % PACK, (row < TOKENS * PACK) & (token < tokens)


@triton.jit
@no_type_check
def program_rows(
    queries, num_heads, row_blocks, GROUP: tl.constexpr, PACK: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """Which rows a program has, in a grid of blocks of rows by batch, key heads and chunks of their query heads.

    Returns: block, batch, number of batches, key head, first head, first token, and what `packed_rows` gives.
    """
    # The last rows see the most keys under a causal mask: they start first.
    block = row_blocks - 1 - tl.program_id(0)
    chunks: tl.constexpr = GROUP // PACK
    kv_heads = num_heads // GROUP
    batch = (tl.program_id(1) // (kv_heads * chunks)).to(tl.int64)
    batches = tl.num_programs(1) // (kv_heads * chunks)
    kv_head = tl.program_id(1) // chunks % kv_heads
    first_head = kv_head * GROUP + tl.program_id(1) % chunks * PACK
    local, member, exist = packed_rows(block, queries, PACK, TOKENS, ROWS)
    return block, batch, batches, kv_head, first_head, tl.cast(block * TOKENS, tl.int64), local, member, exist


@triton.jit
@no_type_check
def sweep_bounds(bounds, sweep, row_batches, places, num_blocks, block):
    """What a block meets in a sweep: first, first and one past the last that is whole, and one past the last."""
    at = bounds + ((sweep * row_batches + places) * num_blocks + block) * 4
    return tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3)


@triton.jit
@no_type_check
def sweep_copies(copies, sweep):
    """Numbers of the rotated copies of queries and keys that a sweep reads."""
    return tl.load(copies + sweep * 2).to(tl.int64), tl.load(copies + sweep * 2 + 1).to(tl.int64)


@triton.jit
@no_type_check
def row_factors(factor, factor_batch, factor_head, scale, batch, head, token, ROWS: tl.constexpr):
    """Scale and sharpness of each row."""
    if factor is None:
        return tl.full((ROWS,), scale, tl.float32)
    else:
        return tl.load(factor + batch * factor_batch + head * factor_head + token)


@triton.jit
@no_type_check
def row_biases(bias, bias_head, diagonal, places, queries, head, token, LINEAR: tl.constexpr):
    """Where in the table the bias of each row and key 0 is; that of key j is j before it. None without a bias.

    Of a LINEAR bias the distance of key 0.
    """
    if bias is None:
        return None
    else:
        place = tl.load(diagonal + places * queries + token)
        return place if LINEAR else head * bias_head + place


@triton.jit
@no_type_check
def row_slopes(bias, head, ROWS: tl.constexpr, LINEAR: tl.constexpr):
    """What a LINEAR bias adds per token of distance, for each row; None for others."""
    if LINEAR:
        return tl.load(bias + head) + tl.zeros((ROWS,), tl.float32)
    else:
        return None


@triton.jit
@no_type_check
def row_interval(seen, sweep, row_batches, places, queries, token):
    """First key and one past the last that each row sees in a sweep."""
    at = seen + ((sweep * row_batches + places) * queries + token) * 2
    return tl.load(at), tl.load(at + 1)


@triton.jit
@no_type_check
def shrinking(
    decay, query_origin, sweep_origin, sweep, places, queries, token, HEAD_DIM: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """How much each channel of a query decays from the origin of a sweep's keys to its own: 2^(per token · tokens)."""
    channel = tl.arange(0, CHANNELS)
    apart = tl.load(query_origin + places * queries + token) - tl.load(sweep_origin + sweep)
    per_token = tl.load(decay + channel, mask=channel < HEAD_DIM, other=0.0)
    return tl.math.exp2(tl.maximum(apart, 0).to(tl.float32)[:, None] * per_token[None, :])


@triton.jit
@no_type_check
def load_rows(base, head_stride, stride, member, local, WIDTH: tl.constexpr, CHANNELS: tl.constexpr):
    """Load the channels of rows, counted from the first token and head of their block, where `base` points."""
    channel = tl.arange(0, CHANNELS)
    at = base + (member * head_stride + local * stride)[:, None] + channel[None, :]
    if WIDTH == CHANNELS:
        return tl.load(at)
    else:
        return tl.load(at, mask=(channel < WIDTH)[None, :], other=0.0)
