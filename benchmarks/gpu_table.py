"""The table of what the Triton kernels compile to, as Markdown, from results/gpu-compiled.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "gpu-compiled.json"
TARGETS = ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942")

MATRIX_RATE = {"sm_80": 2048, "sm_90": 4096}
"""Operations of 16-bit matrix products per clock and multiprocessor. Source: NVIDIA A100 Tensor Core GPU Architecture,
2020 (1024 multiply-adds); NVIDIA H100 Tensor Core GPU Architecture, 2022 (twice as many)."""

MEMORY_RATE = {"sm_80": 2039 / 312_000 * 2048, "sm_90": 3350 / 989_400 * 4096}
"""Bytes from memory per clock and multiprocessor: bandwidth (GB/s) over peak (GFLOP/s) of matrix products, times their
rate. Source: data sheets of NVIDIA A100 80GB SXM and H100 SXM."""

EXPONENTIALS, ISSUED = 16, 4
"""Exponentials and instructions of warps per clock and multiprocessor. Source: CUDA C++ Programming Guide, throughput
of native arithmetic instructions; four schedulers."""

TEXT = """
## `python benchmarks/gpu_compiled.py`

The Triton kernels, compiled with triton {version} and never run on a GPU. A cell has one number for each of {targets},
or one where all have the same: registers of a thread and bytes of memory that it keeps registers in, as the assembler
says (AMD's compiler: vector registers), the most shared memory, and instructions of the loop over blocks of keys that
every row sees, in all warps, per thousand pairs of a query and a key (none is read for gfx942; a dash: the target has
other sizes; AMD's stand in lines of their own). `over plain` divides them by those of plain causal attention
(`gpu_plain.py`) with blocks of the same size, where there are such. `at most` is the share of the matrix units' peak
that the loop can reach if everything overlaps perfectly, for sm_80 and sm_90: it is bound by matrix products,
exponentials or the number of instructions, whichever takes most clocks. A decoding step (four heads of one token are
16 rows, or as many rows as fit) is bound by memory instead: its `at most` is the share of the memory's bandwidth. At
32k tokens plain causal attention does 8192 operations per byte of queries, keys, values and output (heads of 128, 16
bits), far above what memory limits.

{summary}

`bias per token` is proportional to the distance (ALiBi); another bias is read from a table. `all of these` is a
log-length, softmax plus one, a cap, a learned bias and decay together, and in a step keys that rotate in the place of
decay. Documents, padding, windows and sinks are numbers that every kernel reads. `alone`: on NVIDIA's GPUs the
registers of a thread do not hold both gradients, so each is a launch. In float16 only the kernels that add the
least are compiled. Float32 with more than 128 channels is not served under decay, nor in steps with a bias or a cap:
other paths serve it.

"""


def section() -> str:
    """The section of the page: one line for each kernel, variant, width and dtype, all targets beside each other."""
    found = json.loads(RESULTS.read_text())
    rows = found["rows"]
    text = TEXT.format(version=found["triton"], targets=", ".join(TARGETS), summary=_summary(rows))
    lines = [
        text.rstrip("\n") + "\n" + _earlier(rows, found.get("code", {})),
        "| kernel | scheme has | channels | dtype | rows × keys, warps, stages | registers | spilled | shared KiB | "
        "instructions | over plain | at most |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {(row["target"], row["channels"], *row["config"]): row for row in rows if not row["variant"]}
    together: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        key = row["kernel"], row["variant"], row["channels"], row["dtype"], *row["config"][:4]
        together.setdefault(key, {})[row["target"]] = row
    order = {name: i for i, name in enumerate(dict.fromkeys(row["kernel"] for row in rows))}
    for key, some in sorted(together.items(), key=lambda item: (item[0][2], order[item[0][0]])):
        kernel, variant, channels, dtype, size, keys, warps, stages = key

        def over(row: dict[str, Any]) -> str | None:
            beside = plain.get((row["target"], row["channels"], *row["config"]))
            if row["kernel"] != "forward" or not row["whole"] or beside is None or row["dtype"] != beside["dtype"]:
                return None
            return f"{_clocks(row) / _clocks(beside):.2f}"

        cells = [
            kernel, variant, channels, dtype, f"{size} × {keys}, {warps}, {stages}",
            _cell(some, lambda row: row["registers"]), _cell(some, lambda row: row["spilled"]),
            max(row["shared"] for row in some.values()) // 1024,
            _cell(some, lambda row: round(1000 * _clocks(row)) if row["whole"] else None),
            _cell(some, over), _cell(some, _share),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _cell(some: dict[str, dict[str, Any]], number: Callable[[dict[str, Any]], Any]) -> str:
    """The number of each target; one where all are the same, and a dash for a target without."""
    numbers = ["–" if name not in some or number(some[name]) is None else str(number(some[name])) for name in TARGETS]
    while numbers and numbers[-1] == "–":
        numbers.pop()
    return numbers[0] if len(set(numbers)) == 1 and len(numbers) == len(TARGETS) else " / ".join(numbers)


def _summary(rows: list[dict[str, Any]]) -> str:
    """How many kernels of each target spill, and how much at most."""
    parts = []
    for target in TARGETS:
        of_target = [row for row in rows if row["target"] == target]
        spilled = [row["spilled"] for row in of_target if row["spilled"]]
        most = f", {max(spilled)} bytes at most" if spilled else ""
        parts.append(f"{target}: {len(spilled)} of {len(of_target)}{most}")
    lanes = [row["in_lanes"] for row in rows if row["in_lanes"]]
    also = f" On gfx942 {len(lanes)} kernels keep up to {max(lanes)} scalars in vector registers." if lanes else ""
    return f"Kernels that spill registers to memory: {'; '.join(parts)}.{also}"


def _clocks(row: dict[str, Any]) -> float:
    """Instructions of all warps per pair."""
    size, keys, warps, *_ = row["config"]
    return row["whole"]["all"] * warps / (size * keys)


def _share(row: dict[str, Any]) -> str | None:
    """The most of the matrix units' peak that the forward loop can reach, or of the memory's that a step can."""
    if row["target"] not in MATRIX_RATE or row["dtype"] == "fp32" or not row["whole"] or "gradient" in row["kernel"]:
        return None
    bound = 4 * row["channels"] / MATRIX_RATE[row["target"]]
    if row["kernel"] == "step":  # each key and value of 16 bits is read once for all rows
        bound = 4 * row["channels"] / row["config"][0] / MEMORY_RATE[row["target"]]
    return f"{bound / max(bound, 1 / EXPONENTIALS, _clocks(row) / ISSUED):.2f}"


def _earlier(rows: list[dict[str, Any]], codes: dict[str, str]) -> str:
    """How many rows were compiled before the last change of the kernels."""
    old = sum(row.get("code") != codes.get(row["kernel"]) for row in rows)
    return f"{old} of the {len(rows)} rows are of the kernels as they were before their last change.\n" if old else ""
