"""How the kernels are launched: what they receive, and the sizes of their blocks."""

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton import knobs

from longspan.compute.kernels.triton import backward, forward
from longspan.compute.kernels.triton.bounds import key_bounds, row_bounds
from longspan.compute.kernels.triton.sizes import Config, Kind, Maker

AS_IT_LIES: int = forward.AS_IT_LIES.value
"""In the place of a row of angles: the keys of a sweep are rotated already."""

PRECISION = "ieee"
"""Products of float32 numbers are products of float32 numbers: no TF32."""


PROGRAMS_PER_PROCESSOR, LEAST_BLOCKS, MOST_SPLITS = 2, 4, 64
"""How the keys of few queries are shared; see `splits`."""


class KeyAngles(NamedTuple):
    """Residual rotations of keys that the kernel applies when it loads them.

    For few queries: a key is loaded once for each block of rows.

    Arguments:
        tables, partner: as `longspan.compute.rotate.pair_tables` and `partners` give them, in float32 and int32.
        first: (sweeps), row of the tables for key 0; AS_IT_LIES where keys are rotated already.
    """

    tables: Tensor
    partner: Tensor
    first: Tensor


class Work(NamedTuple):
    """What the rows of a call see and by how much their scores are multiplied; numbers only.

    Arguments:
        seen: (sweeps, rows, queries, 2), first key and one past the last; rows is 1 or the batch.
        copies: (sweeps, 2), which copies of queries and keys a sweep reads.
        scale: multiplies all scores, where there is no factor.
        factor: (1 or batch, 1 or heads, 1 or queries), multiplies the scores of each query; None for `scale`.
        cap: limit of the scores: limit · tanh(score / limit); None for none.
        diagonal: (rows, queries), column of the table of biases for key 0; minus the key, it is that of each pair.
        linear: whether the bias is a number per token of distance for each head, and no table; `diagonal` then is the
            distance of key 0.
        decay: log₂ of the factor of each channel per token, the origin of each query, the origin of each sweep.
        angles: by which keys rotate when they are loaded, in the forward kernel only; None for keys rotated already.
    """

    seen: Tensor
    copies: Tensor
    scale: float
    factor: Tensor | None = None
    cap: float | None = None
    diagonal: Tensor | None = None
    linear: bool = False
    decay: tuple[Tensor, Tensor, Tensor] | None = None
    angles: KeyAngles | None = None


def maker() -> Maker:
    """Whose GPUs this PyTorch is built for."""
    return "nvidia" if torch.version.hip is None else "amd"


def kind(work: Work, dtype: torch.dtype) -> Kind:
    """What decides the sizes of blocks beside the number of channels."""
    if dtype == torch.float32:
        return "float32"
    if work.cap is not None or (work.diagonal is not None and not work.linear):
        return "changed" if work.decay is None and work.angles is None else "both"
    if work.decay is not None:
        return "both" if work.linear else "decaying"
    if work.linear:
        return "linear"
    return "half" if dtype == torch.float16 else "plain"


def width(channels: int) -> int:
    """Channels of a block: the next power of two, 16 at least."""
    return max(16, triton.next_power_of_2(channels))


def packed(group: int, rows: int) -> int:
    """Heads that are packed into one block of rows: the most that divide the group and fit."""
    return max(pack for pack in range(1, min(group, rows) + 1) if group % pack == 0)


def interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter, on the CPU."""
    return bool(knobs.runtime.interpret)


class Schedule(NamedTuple):
    """How the rows of a call are shared by programs.

    Arguments:
        config: sizes of blocks.
        pack: heads in a block of rows.
        parts: programs that share the keys of a block of rows.
        blocks: (sweeps, rows, blocks of rows, 4), as of `row_bounds`.
    """

    config: Config
    pack: int
    parts: int
    blocks: Tensor

    @classmethod
    def of(
        cls, seen: Tensor, config: Config, batch: int, heads: int, kv_heads: int, keys: int, device: torch.device
    ) -> "Schedule":
        """The schedule for rows that see these intervals of keys, for tensors on a device."""
        group, queries = heads // kv_heads, seen.shape[2]
        config = config._replace(rows=min(config.rows, width(group * queries)))
        pack = packed(group, config.rows)
        blocks = row_bounds(seen, config.rows // pack, config.keys).to(device)
        programs = blocks.shape[2] * batch * heads // pack
        return cls(config, pack, splits(programs, processors(device), -(-keys // config.keys)), blocks)


def attend(
    work: Work, schedule: Schedule, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, logit: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of (copies, batch, heads, tokens, d) queries over the keys that they see."""
    _, batch, heads, queries, _ = query.shape
    config, parts, angles = schedule.config, schedule.parts, work.angles
    dtype = value.dtype if parts == 1 else torch.float32
    outs = value.new_empty(parts, batch, queries, heads, value.shape[3], dtype=dtype).transpose(2, 3)
    sums = value.new_empty(parts, batch, heads, queries, dtype=torch.float32)
    row_blocks = schedule.blocks.shape[2]
    launch(
        forward.attention,
        (row_blocks, batch * heads // schedule.pack, parts),
        config,
        **operands(work, query, key, value, bias),
        **strides("out", outs, "part", "batch", "head", "stride"),
        lse=sums,
        logit=logit,
        angles=angles and angles.tables,
        partner=angles and angles.partner,
        first_angles=angles and angles.first,
        num_angles=len(angles.tables) if angles else 0,
        blocks=schedule.blocks,
        row_blocks=row_blocks,
        PACK=schedule.pack,
        TOKENS=config.rows // schedule.pack,
        SHARED=parts > 1,
    )
    return (outs[0], sums[0]) if parts == 1 else merged(outs, sums, value.dtype)


def splits(programs: int, processors: int, blocks: int) -> int:
    """Programs that share the keys of a block of rows: enough to fill a GPU where queries are few.

    Each gets `LEAST_BLOCKS` blocks of keys or more. Source: Dao et al. 2023, "Flash-Decoding for long-context
    inference".
    """
    return max(1, min(PROGRAMS_PER_PROCESSOR * processors // programs, blocks // LEAST_BLOCKS, MOST_SPLITS))


def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def merged(outs: Tensor, sums: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp of whole rows, from those of parts of their keys; parts come first."""
    lse = sums.logsumexp(0)
    shares = (sums - lse.masked_fill(lse == -torch.inf, 0.0)).exp()
    return (shares[..., None] * outs).sum(0).to(dtype), lse


def operands(work: Work, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> dict[str, Any]:
    """What every kernel receives."""
    _, batch, heads, queries, head_dim = query.shape
    decay, query_origin, sweep_origin = work.decay or (None, None, None)
    factor = work.factor
    if factor is not None:
        factor = factor.expand(-1, -1, queries).contiguous().expand(batch, heads, -1)
    return {
        **strides("query", query, "copy", "batch", "head", "stride"),
        **strides("key", key, "copy", "batch", "head", "stride"),
        **strides("value", value, "batch", "head", "stride"),
        **strides("factor", factor, "batch", "head"),
        **strides("bias", bias, "head"),
        "seen": work.seen,
        "copies": work.copies,
        "row_batches": work.seen.shape[1],
        "scale": work.scale,
        "cap": work.cap,
        "diagonal": work.diagonal,
        "decay": decay,
        "query_origin": query_origin,
        "sweep_origin": sweep_origin,
        "sweeps": len(work.seen),
        "queries": queries,
        "keys": value.shape[2],
        "num_heads": heads,
        "GROUP": heads // value.shape[1],
        "HEAD_DIM": head_dim,
        "CHANNELS": width(head_dim),
        "VALUE_DIM": value.shape[3],
        "VALUE_CHANNELS": width(value.shape[3]),
        "LINEAR": work.linear,
        "PRECISION": PRECISION,
        "WIDE": interpreted() and query.dtype == torch.bfloat16,
    }


def gradient_operands(
    work: Work, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, grad: Tensor, lse: Tensor, delta: Tensor
) -> dict[str, Any]:
    """What both backward kernels receive."""
    rows = {**strides("grad", grad, "batch", "head", "stride"), "lse": lse, "delta": delta}
    return {**operands(work, query, key, value, bias), **rows}


def strides(name: str, x: Tensor | None, *axes: str) -> dict[str, Any]:
    """A tensor and its strides by name; zeros where there is none."""
    return {name: x, **{f"{name}_{axis}": 0 if x is None else x.stride(i) for i, axis in enumerate(axes)}}


def launch(kernel: Any, grid: tuple[int, int, int], config: Config, **arguments: Any) -> None:
    """Run a kernel on the device of its queries."""
    on = arguments["query"].device
    with torch.cuda.device(on) if on.type == "cuda" else nullcontext():
        kernel[grid](
            **arguments,
            ROWS=config.rows,
            KEYS=config.keys,
            **compiler_options(config, maker()),
        )


def compiler_options(config: Config, maker: Maker) -> dict[str, Any]:
    """What the compiler receives beside a kernel.

    NVIDIA's assembler receives how many registers a thread may have: by itself it keeps to fewer and spills.
    """
    options = {"num_warps": config.warps, "num_stages": config.stages, "enable_fp_fusion": True}
    return {**options, "maxnreg": config.registers} if maker == "nvidia" else options


def differentiate_queries(
    work: Work, config: Config, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None,
    grad: Tensor, lse: Tensor, delta: Tensor, bias_grad: Tensor | None,
) -> Tensor:  # fmt: skip
    """Gradient of each rotated copy of the queries, in float32; adds that of the bias to `bias_grad`."""
    _, batch, heads, _, _ = query.shape
    group = heads // value.shape[1]
    pack = packed(group, config.rows)
    tokens = config.rows // pack
    bounds = row_bounds(work.seen, tokens, config.keys)
    given = gradient_operands(work, query, key, value, bias, grad, lse, delta)
    query_grad = torch.zeros(query.shape, dtype=torch.float32, device=query.device)
    launch(
        backward.query_gradient,
        (bounds.shape[2], batch * heads // pack, 1),
        config,
        **given,
        query_grad=query_grad,
        bias_grad=bias_grad,
        blocks=bounds,
        row_blocks=bounds.shape[2],
        PACK=pack,
        TOKENS=tokens,
    )
    return query_grad


def differentiate_keys(
    work: Work, config: Config, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None,
    grad: Tensor, lse: Tensor, delta: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Gradient of each rotated copy of the keys, in float32, and of the values."""
    bounds = key_bounds(work.seen, config.keys, value.shape[2])
    given = gradient_operands(work, query, key, value, bias, grad, lse, delta)
    key_grad = torch.zeros(key.shape, dtype=torch.float32, device=key.device)
    value_grad = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    for of_keys, of_values in ((key_grad, None), (None, value_grad)) if config.apart else ((key_grad, value_grad),):
        launch(
            backward.key_gradient,
            (bounds.shape[2], value.shape[0] * value.shape[1], 1),
            config,
            **given,
            key_grad=of_keys,
            value_grad=of_values,
            rows_of_keys=bounds,
            key_blocks=bounds.shape[2],
        )
    return key_grad, value_grad
