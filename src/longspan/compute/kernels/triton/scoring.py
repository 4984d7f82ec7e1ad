"""What the kernels share: loads, products, and from the products of a block of pairs to its scores.

    score(i, j) = cap( factor(i) · ⟨q_i, k_j⟩ ) + bias_h(i − j)

Kernels count in powers of two, because a GPU's exponential is 2^x: scores are multiplied by log₂ e.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
@no_type_check
def load_tokens(base, stride, first, count, exist, WIDTH: tl.constexpr, CHANNELS: tl.constexpr, CHECKED: tl.constexpr):
    """Load tokens first … first + count − 1 with their channels, as (tokens, channels); zeros where they do not exist.

    CHANNELS is WIDTH up to a power of two. Where nothing is CHECKED all tokens exist.
    """
    channels = tl.arange(0, CHANNELS)
    at = base + tl.cast(first, tl.int64) * stride + count[:, None] * stride + channels[None, :]
    if CHECKED:
        if WIDTH == CHANNELS:
            return tl.load(at, mask=exist[:, None], other=0.0)
        else:
            return tl.load(at, mask=exist[:, None] & (channels < WIDTH)[None, :], other=0.0)
    else:
        if WIDTH == CHANNELS:
            return tl.load(at)
        else:
            return tl.load(at, mask=(channels < WIDTH)[None, :], other=0.0)


@triton.jit
@no_type_check
def product(a, b, total, PRECISION: tl.constexpr, WIDE: tl.constexpr):
    """total + a · b, summed in float32; WIDE multiplies in float32 too: the interpreter has no bfloat16."""
    if WIDE:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total, input_precision=PRECISION)
    else:
        return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit
@no_type_check
def column(rows):
    """A number per row beside the keys of a block; None stays None."""
    return None if rows is None else rows[:, None]


@triton.jit
@no_type_check
def line(rows):
    """The same where pairs are (keys, rows)."""
    return None if rows is None else rows[None, :]


@triton.jit
@no_type_check
def added_bias(bias, per_token, place, at, exist, MASKED: tl.constexpr):
    """What a bias adds to the scores of the keys `at`: a number per token of distance, or one from a table.

    `place` is the distance of key 0, or where in the table it is; None without a bias.
    """
    if place is None:
        return None
    elif per_token is not None:
        return per_token * (place - at).to(tl.float32)
    else:
        # Volatile: loaded when it is needed, not blocks ahead by way of shared memory.
        found = bias + (place - at)
        return tl.load(found, mask=exist, other=0.0, volatile=True) if MASKED else tl.load(found, volatile=True)


@triton.jit
@no_type_check
def scored(products, factor, cap, added, exist, MASKED: tl.constexpr):
    """Scores in powers of two, −inf for pairs that do not exist, and the slope of the cap: 1 − tanh²."""
    slope = 1.0
    if cap is None and added is None:
        found = products * (factor * LOG2_E)
    else:
        found = products * factor
        if cap is not None:
            tanh = 1.0 - 2.0 / (1.0 + tl.math.exp2(found * (2.0 * LOG2_E / cap)))
            found, slope = cap * tanh, 1.0 - tanh * tanh
        if added is not None:
            found += added
        found = found * LOG2_E
    return (tl.where(exist, found, -float("inf")) if MASKED else found), slope


@triton.jit
@no_type_check
def edge(step, first, whole, rest):
    """Number of the edge block visited at a step: blocks first … whole − 1, then those from `rest` on."""
    block = first + step
    return tl.where(block < whole, block, block + rest - whole)
