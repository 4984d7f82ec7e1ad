"""What a scheme costs: its time divided by that of RoPE and one plain causal attention call, side by side in one run.

Calls are interleaved round by round and each round gives one ratio per scheme; the median over rounds is reported, so
that a slow minute of a shared machine slows both sides of each ratio.
"""

import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log
from statistics import linear_regression, median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from longspan.bench.memory import peak
from longspan.compute.attend import run
from longspan.compute.cache import Cache
from longspan.compute.inputs import Inputs
from longspan.compute.places import contiguous
from longspan.compute.rotate import rotate_by, tables
from longspan.measure.hardware.machine import hardware
from longspan.notation import parse
from longspan.scheme import Scheme

HEADS, KV_HEADS, HEAD_DIM = 9, 9, 64
DECODE_KV_HEADS, LAYERS, STEPS = 3, 4, 64
TENSORS = 8
"""Tensors of a forward pass: queries, keys, values, the output, and as many that every scheme makes in between."""

PREFILL = {
    "rerope": "rerope(1024)",
    "leaky_rerope": "leaky_rerope(1024, k=16)",
    "self_extend": "self_extend(1024, group=8)",
    "window": "rope + window(1024)",
    "window with sinks": "rope + window(1024, sinks=4)",
    "blockwise": "rope + blockwise(1024)",
    "alibi": "alibi",
    "kerple": "kerple_log",
    "t5": "t5",
    "sandwich": "sandwich",
    "dual_chunk": "dual_chunk(3072, local=512)",
    "dynamic_ntk": "dynamic_ntk(trained_length=LENGTH_OVER_4)",
    "xpos": "xpos",
}
"""Schemes by the name of their row; LENGTH_OVER_4 gives dynamic_ntk three segments at every length."""


@dataclass(frozen=True)
class Row:
    """One measured ratio.

    Arguments:
        name: the scheme's, or the alternative's.
        task: "forward", "forward + backward" or "decode".
        length: tokens.
        dtype: of queries, keys and values.
        ratio: median over rounds of its time over the baseline's in the same round.
        low, high: the quartiles of that ratio.
        seconds: median time.
        baseline_seconds: median time of the baseline.
        rounds: how often each was timed.
    """

    name: str
    task: str
    length: int
    dtype: str
    ratio: float
    low: float
    high: float
    seconds: float
    baseline_seconds: float
    rounds: int


def needed(length: int) -> int:
    """Return the least bytes that a forward pass of so many tokens takes, in float32."""
    return TENSORS * HEADS * HEAD_DIM * 4 * length


def ratios(
    names: list[str], task: str, length: int, dtype: torch.dtype, rounds: int, progress: Callable[[str], None] = print
) -> list[Row]:
    """Measure the rows of one task at one length."""
    make = decode_calls if task == "decode" else prefill_calls
    baseline, calls = make(names, length, dtype, backward=task == "forward + backward")
    return timed(baseline, calls, task, length, dtype, rounds, progress)


def growth(progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure `memory` of a long forward pass, and `growth`: seconds by length, and the slope in logarithms."""
    names, lengths, longest = ["rerope", "window"], [4096, 8192, 16384, 32768, 65536], 32768
    times: dict[str, list[float]] = {name: [] for name in names}
    for tokens in lengths:
        for row in ratios(names, "forward", tokens, torch.float32, 1, progress):
            times[row.name].append(row.seconds)
    where = [log(tokens) for tokens in lengths]
    slopes = {name: linear_regression(where, [log(s) for s in seconds]).slope for name, seconds in times.items()}
    return {
        "memory": {"length": longest, **peak(PREFILL["rerope"], longest, HEADS, HEAD_DIM)},
        "growth": {"lengths": lengths, "seconds": times, "slope": slopes},
    }


def timed(
    baseline: Callable[[], None],
    calls: dict[str, Callable[[], None]],
    task: str,
    length: int,
    dtype: torch.dtype,
    rounds: int,
    progress: Callable[[str], None],
) -> list[Row]:
    """Return each call's time divided by the baseline's, round by round."""
    times: dict[str, list[float]] = {name: [] for name in ("baseline", *calls)}
    for round_number in range(rounds + 1):
        for name, call in (("baseline", baseline), *calls.items()):
            start = time.perf_counter()
            call()
            if round_number:  # the first round warms caches
                times[name].append(time.perf_counter() - start)
        progress(f"{task} {length} {str(dtype).removeprefix('torch.')}: round {round_number} of {rounds}")
    return [_row(name, task, length, dtype, times[name], times["baseline"]) for name in calls]


def _row(name: str, task: str, length: int, dtype: torch.dtype, times: list[float], base: list[float]) -> Row:
    found = sorted(a / b for a, b in zip(times, base, strict=True))
    quarter = len(found) // 4
    return Row(
        name, task, length, str(dtype).removeprefix("torch."), median(found), found[quarter], found[-1 - quarter],
        median(times), median(base), len(times),
    )  # fmt: skip


def scheme_of(name: str, length: int) -> Scheme:
    """Return the scheme of a row at a length."""
    return parse(PREFILL[name].replace("LENGTH_OVER_4", str(length // 4)))


def prefill_calls(
    names: list[str], length: int, dtype: torch.dtype, backward: bool
) -> tuple[Callable[[], None], dict[str, Callable[[], None]]]:
    """Return the baseline and each scheme on the same random tensors, batch 1."""
    generator = torch.Generator().manual_seed(0)
    query, key, value, grad = (torch.randn(1, HEADS, length, HEAD_DIM, generator=generator).to(dtype) for _ in range(4))
    for tensor in (query, key, value):
        tensor.requires_grad_(backward)
    spectrum = parse("rope").rotation.spectrum(HEAD_DIM)
    where = contiguous(length)

    def finish(out: Tensor, *learned: Tensor) -> None:
        if backward:
            torch.autograd.grad(out, [query, key, value, *learned], grad)

    def baseline() -> None:
        angles = tables(where.coordinate, spectrum)
        turned_query, turned_key = (rotate_by(x, angles, spectrum.layout) for x in (query, key))
        finish(scaled_dot_product_attention(turned_query, turned_key, value, is_causal=True))

    def call(name: str) -> Callable[[], None]:
        scheme = scheme_of(name, length)
        weights = scheme.initial_weights(HEADS, HEAD_DIM, torch.Generator().manual_seed(0))
        learned = [tensor.requires_grad_(backward) for tensor in weights.values()]
        inputs = Inputs(query, key, value, scheme, where, where, weights, HEAD_DIM**-0.5)
        return lambda: finish(run(inputs), *learned)

    return baseline, {name: call(name) for name in names}


def decode_calls(
    names: list[str], length: int, dtype: torch.dtype, backward: bool
) -> tuple[Callable[[], None], dict[str, Callable[[], None]]]:
    """Return one step of a model of a few layers: one query per layer against a `Cache` that grows by a key per step.

    The baseline packs the grouped queries of RoPE into one plain call per layer, on cached keys that were rotated
    before. Each side computes its angles once per step, and reads caches that earlier calls have evicted from the
    processor's.
    """
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, HEADS, 1, HEAD_DIM, generator=generator).to(dtype)
    caches = [
        torch.randn(2, 1, DECODE_KV_HEADS, length, HEAD_DIM, generator=generator).to(dtype) for _ in range(LAYERS)
    ]
    spectrum = parse("rope").rotation.spectrum(HEAD_DIM)

    def steps() -> Iterator[int]:
        return itertools.cycle(range(length - STEPS + 1, length + 1))

    lengths = steps()

    def baseline() -> None:
        keys = next(lengths)
        angles = tables(torch.tensor([[[keys - 1]]]), spectrum)
        for key, value in caches:
            packed = rotate_by(query, angles, spectrum.layout).reshape(1, DECODE_KV_HEADS, -1, HEAD_DIM)
            scaled_dot_product_attention(packed, key[:, :, :keys], value[:, :, :keys])

    def call(name: str) -> Callable[[], None]:
        scheme, lengths = scheme_of(name, length), steps()
        weights = scheme.initial_weights(HEADS, HEAD_DIM, torch.Generator().manual_seed(0))
        layers = [Cache(scheme, weights=weights) for _ in caches]
        for layer, (key, value) in zip(layers, caches, strict=True):
            layer.attend(query, key, value)

        def step() -> None:
            last = next(lengths) - 1
            for layer, (key, value) in zip(layers, caches, strict=True):
                layer.crop(last)
                layer.attend(query, *(new[:, :, last : last + 1] for new in (key, value)))

        return step

    return baseline, {name: call(name) for name in names}


def conditions() -> dict[str, Any]:
    """Return what a reader needs to judge the rows."""
    return {
        "hardware": hardware(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "heads": HEADS,
        "decode_kv_heads": DECODE_KV_HEADS,
        "head_dim": HEAD_DIM,
        "load_average": os.getloadavg()[0],
        "real_time": _real_time(),
        "schemes": PREFILL,
    }


def _real_time() -> bool:
    """Whether other programs wait while this one runs."""
    return hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR)
