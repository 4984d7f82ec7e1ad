"""What the Triton kernels compile to, found without a GPU: registers, spills, shared memory, instructions of the loops.

python benchmarks/gpu_compiled.py              every kernel for every target whose code has changed since it was
                                               compiled; writes results/gpu-compiled.json after each of them
python benchmarks/gpu_compiled.py --few        a few of them, for the tests: fails where one spills or does not fit
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parent))

import gpu_plain

from longspan.compute.kernels.triton import backward, forward, launch
from longspan.compute.kernels.triton.sizes import (
    FORWARD,
    KEY_GRADIENT,
    QUERY_GRADIENT,
    STEP,
    WIDEST_FLOAT32,
    Config,
    chosen,
)
from longspan.disk import write_atomically

RESULTS = Path(__file__).parent / "results" / "gpu-compiled.json"
SHARED = {"sm_80": 166912, "sm_90": 232448, "sm_100": 232448, "sm_120": 101376, "gfx942": 65536}
"""Bytes of shared memory that one block may use. Source: CUDA C++ Programming Guide, compute capabilities, table of
technical specifications; one KiB of each is the system's. AMD CDNA 3 ISA reference guide: LDS of a compute unit."""

TARGETS: tuple[int | str, ...] = (80, 90, 100, 120, "gfx942")
"""Ampere, Hopper, both kinds of Blackwell by their compute capability, and AMD's MI300."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

OPTIONS = {
    "factor": ("factor",),
    "logit": ("logit",),
    "cap": ("cap",),
    "bias": ("bias", "diagonal"),
    "linear bias": ("bias", "diagonal"),
    "bias_grad": ("bias_grad",),
    "decay": ("decay", "query_origin", "sweep_origin"),
    "angles": ("angles", "partner", "first_angles"),
    "key_grad": ("key_grad",),
    "value_grad": ("value_grad",),
}
"""Arguments that a scheme may leave out."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "branches, windows, documents": (),
    "log-length, softmax plus one": ("factor", "logit"),
    "softcap": ("cap",),
    "bias": ("bias", "bias_grad"),
    "bias per token": ("linear bias",),
    "decay": ("decay",),
    "all of these": ("factor", "logit", "cap", "bias", "bias_grad", "decay"),
}
"""What schemes add to the loop: ReRoPE, Self-Extend, dual chunk, windows and sinks add nothing."""

STEPS: dict[str, tuple[str, ...]] = {
    "keys as they lie": (),
    "keys rotate": ("angles",),
    "bias": ("bias",),
    "all of these": ("factor", "logit", "cap", "bias", "angles"),
}
"""The same of decoding steps, whose keys may rotate when they are loaded."""

KERNELS = {
    "forward": (forward.attention, FORWARD),
    "step": (forward.attention, STEP),
    "query gradient": (backward.query_gradient, QUERY_GRADIENT),
    "key gradient": (backward.key_gradient, KEY_GRADIENT),
    "key gradient alone": (backward.key_gradient, KEY_GRADIENT),
    "value gradient alone": (backward.key_gradient, KEY_GRADIENT),
}
GRADIENTS = {
    "key gradient": ("key_grad", "value_grad"),
    "key gradient alone": ("key_grad",),
    "value gradient alone": ("value_grad",),
}
"""What a launch of the kernel for keys makes: both gradients, or one where sizes are `apart`."""
PLAIN = "plain causal attention"
NUMBERS = {"query", "key", "value", "out", "grad", "value_grad"}
WHOLE = {
    "seen", "blocks", "rows_of_keys", "copies", "diagonal", "query_origin", "sweep_origin", "partner", "first_angles",
}  # fmt: skip
REAL = {"lse", "delta", "bias", "factor", "logit", "decay", "query_grad", "key_grad", "bias_grad", "angles"}


@dataclass(frozen=True)
class Compiled:
    """One kernel for one target.

    Arguments:
        config: sizes of blocks.
        registers: of a thread; of AMD's, vector registers.
        spilled: bytes of memory that a thread keeps registers in.
        in_lanes: scalar registers that AMD's compiler keeps in the lanes of vector registers; None for other targets.
        shared: bytes of shared memory.
        code: hash of the code of the kernel and of all that it calls.
        whole: instructions of the loop over blocks of keys that every row sees, by kind; empty where not read.
        wgmma: whether Hopper's matrix instructions of a whole warp group are used.
    """

    kernel: str
    variant: str
    target: str
    dtype: str
    channels: int
    config: Config
    registers: int
    spilled: int
    in_lanes: int | None
    shared: int
    wgmma: bool
    code: str
    whole: dict[str, int]


def source(kernel: Any, channels: int, dtype: str, config: Config, options: tuple[str, ...], shared: bool) -> ASTSource:
    """A kernel with the types of its arguments; four query heads share a key head, and programs the keys."""
    given = {name for option in options for name in OPTIONS[option]}
    absent = {name for names in OPTIONS.values() for name in names} - given
    pack = launch.packed(4, config.rows)
    constants: dict[str, Any] = {
        **dict.fromkeys(("HEAD_DIM", "CHANNELS", "VALUE_DIM", "VALUE_CHANNELS", "D"), channels),
        "GROUP": 4,
        "PACK": pack,
        "TOKENS": config.rows // pack,
        "SHARED": shared,
        "ROWS": config.rows,
        "KEYS": config.keys,
        "PRECISION": launch.PRECISION,
        "WIDE": False,
        "LINEAR": "linear bias" in options,
        **dict.fromkeys(absent),
    }
    types: dict[str, str] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            types[name] = "constexpr"
        elif name in NUMBERS | WHOLE | REAL:
            types[name] = "*" + (dtype if name in NUMBERS else "i32" if name in WHOLE else "fp32")
            attributes[index,] = [["tt.divisibility", 16]]
        elif name in ("scale", "cap"):
            types[name] = "fp32"
        else:
            types[name] = "i32"
            if name.endswith(("_copy", "_batch", "_head", "_stride")):
                attributes[index,] = [["tt.divisibility", 16]]
    known = {name: value for name, value in constants.items() if name in kernel.arg_names}
    return ASTSource(kernel, types, known, attributes)


class Job(NamedTuple):
    """One kernel for one target.

    Arguments:
        name: of the kernel, in `KERNELS` or `PLAIN`.
        target: compute capability, or AMD's name of an architecture.
    """

    name: str
    config: Config
    variant: str
    options: tuple[str, ...]
    channels: int
    dtype: str
    target: int | str


def compiled(job: Job) -> Compiled:
    """Compile one kernel and read what came out."""
    name, config, variant, options, channels, dtype, target = job
    kernel = gpu_plain.attend if name == PLAIN else KERNELS[name][0]
    cuda = isinstance(target, int)
    where = GPUTarget("cuda", target, 32) if cuda else GPUTarget("hip", target, 64)
    ast = source(kernel, channels, dtype, config, options, name == "step")
    made = triton.compile(ast, target=where, options=launch.compiler_options(config, "nvidia" if cuda else "amd"))
    in_lanes, whole = None, {}
    if cuda:
        registers, spilled = allocation(made.asm["ptx"], target)
        whole = first_loop(made.asm["cubin"])
    else:
        registers, spilled, in_lanes = amd_allocation(made.asm["amdgcn"])
    wgmma = cuda and "wgmma.mma_async" in made.asm["ptx"]
    where_from = name, variant, label(target), dtype, channels, config
    return Compiled(*where_from, registers, spilled, in_lanes, made.metadata.shared, wgmma, code(name), whole)


def label(target: int | str) -> str:
    """A target by the name that its assembler knows it by."""
    return f"sm_{target}" if isinstance(target, int) else target


def code(name: str) -> str:
    """The hash of a kernel's code."""
    return (gpu_plain.attend if name == PLAIN else KERNELS[name][0]).cache_key[:12]


def allocation(ptx: str, target: int) -> tuple[int, int]:
    """Registers of a thread, and bytes that it spills, as the assembler says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        name = f"--gpu-name={sm_arch_from_capability(target)}"
        command = [get_ptxas(target).path, "-v", "--regAllocOptLevel=2", name, str(path), "-o", os.devnull]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    text = said.stderr + said.stdout
    registers, spilled = re.search(r"Used (\d+) registers", text), re.search(r"(\d+) bytes spill stores", text)
    if registers is None or spilled is None:
        raise SystemExit(f"the assembler said nothing of registers: {text}")
    return int(registers[1]), int(spilled[1])


def amd_allocation(text: str) -> tuple[int, int, int]:
    """Vector registers, bytes of a thread's memory that hold registers, and scalar registers kept in vector ones.

    The count of spilled vector registers is not read: those kept in the registers that are for sums of matrix products
    count too, and no memory is touched. Source: LLVM, test/CodeGen/AMDGPU/spill-vgpr-to-agpr.ll.
    """
    found = {
        name: re.search(rf"\.{name}:\s+(\d+)", text)
        for name in ("vgpr_count", "private_segment_fixed_size", "sgpr_spill_count")
    }
    numbers = {name: int(match[1]) for name, match in found.items() if match is not None}
    if len(numbers) < len(found):
        raise SystemExit(f"the compiler said nothing of {set(found) - set(numbers)}")
    return numbers["vgpr_count"], numbers["private_segment_fixed_size"], numbers["sgpr_spill_count"]


KINDS = {
    "matrix products": r"[HQUI]*G?MMA\b|[HQUI]+MMA|UTC\w*MMA",
    "exponentials": r"MUFU",
    "arithmetic": r"F(ADD|MUL|FMA|MNMX|MNMX3|SEL|SETP)|FADD2|FMUL2|FFMA2|F2FP|F2F",
    "local memory": r"STL|LDL",
}


def first_loop(cubin: bytes) -> dict[str, int]:
    """Instructions of the first innermost loop that multiplies matrices: that over blocks that every row sees."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
        text = subprocess.run([tool, "-c", path], capture_output=True, text=True, check=True).stdout
    lines, labels = [], {}
    for line in text.splitlines():
        if found := re.match(r"\s*(\.L_x_\d+):", line):
            labels[found[1]] = len(lines)
        elif found := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([\w.]+)(.*?);", line):
            lines.append((found[1], found[2]))
    loops = sorted(_loops(lines, labels))
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    for start, stop in inner:
        names = [name for name, _ in lines[start : stop + 1]]
        counts = Counter(kind for name in names for kind, form in KINDS.items() if re.match(form, name))
        if counts["matrix products"]:
            return {"all": len(names), **{kind: counts[kind] for kind in KINDS}}
    return {}


def _loops(lines: list[tuple[str, str]], labels: dict[str, int]) -> Iterator[tuple[int, int]]:
    """First and last instruction of each jump back."""
    for index, (name, rest) in enumerate(lines):
        target = re.search(r"(\.L_x_\d+)", rest)
        if name.startswith("BRA") and target and labels.get(target[1], len(lines)) < index:
            yield labels[target[1]], index


def every() -> Iterator[Job]:
    """Every kernel with what a scheme may add to it, in every width and for every target.

    All of it in bfloat16 and float32, the plainest in float16 too. Steps of one token, and of as many as fit. Plain
    causal attention with the same sizes.
    """
    for target, channels, name in product(TARGETS, (64, 128, 256), KERNELS):
        for variant, options in (STEPS if name == "step" else VARIANTS).items():
            some = tuple(option for option in options if takes(name, option))
            for dtype in dtypes(name, options, channels):
                config = sizes(name, some, channels, dtype, target)
                job = Job(name, config, variant, some + GRADIENTS.get(name, ()), channels, dtype, target)
                if name in GRADIENTS and config.apart != name.endswith("alone"):
                    continue
                if name == "step" and job.config.rows > 16:
                    yield job._replace(config=job.config._replace(rows=16))
                yield job
        if name == "forward" and isinstance(target, int):
            yield Job(PLAIN, sizes("forward", (), channels, "bf16", target), "", (), channels, "bf16", target)


def dtypes(name: str, options: tuple[str, ...], channels: int) -> Iterator[str]:
    """In which numbers a variant is compiled: in float32 wherever a launch is not refused."""
    yield "bf16"
    if options in ((), ("angles",)):
        yield "fp16"
    too_much = {"bias", "cap"} if name == "step" else {"decay"}
    if channels <= WIDEST_FLOAT32 or not too_much & set(options):
        yield "fp32"


def takes(name: str, option: str) -> bool:
    """Whether a kernel knows an option; a logit has no part in the backward kernels."""
    return OPTIONS[option][0] in KERNELS[name][0].arg_names


def sizes(name: str, options: tuple[str, ...], channels: int, dtype: str, target: int | str) -> Config:
    """The sizes that a launch with these options has on a target."""
    nothing = torch.empty(0)
    work = launch.Work(
        nothing, nothing, 1.0,
        cap=1.0 if "cap" in options else None,
        diagonal=nothing if {"bias", "linear bias"} & set(options) else None,
        linear="linear bias" in options,
        decay=(nothing, nothing, nothing) if "decay" in options else None,
        angles=launch.KeyAngles(nothing, nothing, nothing) if "angles" in options else None,
    )  # fmt: skip
    return chosen(
        KERNELS[name][1], "nvidia" if isinstance(target, int) else "amd", launch.kind(work, DTYPES[dtype]), channels
    )


def faults(rows: list[dict[str, Any]]) -> list[str]:
    """What must not be: spills, too much shared memory, or Hopper's matrix instructions left unused in the forward."""
    found = []
    for x in rows:
        about, target = f"{x['kernel']}, {x['variant']}, {x['channels']} channels, {x['dtype']}", x["target"]
        if x["spilled"]:
            found.append(f"{about}, {target}: spills {x['spilled']} bytes")
        if x["shared"] > SHARED[target]:
            found.append(f"{about}, {target}: {x['shared']} bytes of shared memory")
        wide = x["kernel"] == "forward" and x["config"][0] >= 64 and x["dtype"] != "fp32"
        if target == "sm_90" and wide and not x["wgmma"]:
            found.append(f"{about}, {target}: no wgmma")
    return found


def row_of(one: Compiled) -> dict[str, Any]:
    """A result as it is kept."""
    return {**asdict(one), "config": list(one.config)}


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells the rows of the results apart."""
    return tuple(row[name] for name in ("kernel", "variant", "target", "dtype", "channels")) + tuple(row["config"])


def key_of_job(job: Job) -> tuple[Any, ...]:
    """The key of a job's result."""
    return job.name, job.variant, label(job.target), job.dtype, job.channels, *job.config


def compile_missing(processes: int) -> list[dict[str, Any]]:
    """Compile what is not known of the present code; the rows of the results, in the order of the jobs."""
    jobs = list(every())
    known = {key_of(row): row for row in json.loads(RESULTS.read_text())["rows"]}
    codes = {name: code(name) for name in (*KERNELS, PLAIN)}
    missing = [job for job in jobs if known.get(key_of_job(job), {}).get("code") != codes[job.name]]
    missing.sort(key=lambda job: ("bf16", "fp16", "fp32").index(job.dtype))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for number, one in enumerate(pool.map(compiled, missing), 1):
            row = row_of(one)
            known[key_of(row)] = row
            write([known[key] for job in jobs if (key := key_of_job(job)) in known], codes)
            print(f"{number} of {len(missing)}: {', '.join(map(str, key_of(row)))}", *faults([row]), flush=True)
    rows = [known[key_of_job(job)] for job in jobs]
    write(rows, codes)
    return rows


def write(rows: list[dict[str, Any]], codes: dict[str, str]) -> None:
    """Keep results."""
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = f'"triton": "{triton.__version__}", "code": {json.dumps(codes)}'
    write_atomically(RESULTS, f'{{{head}, "rows": [\n{text}\n]}}\n')


def main() -> None:
    """Compile, and write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="compile a few kernels and write nothing")
    parser.add_argument("--processes", type=int, default=1, help="compile in so many processes")
    given = parser.parse_args()
    if given.few:
        few = ("forward", 90, ()), ("forward", "gfx942", ()), ("key gradient", 80, ()), ("step", 90, ("angles",))
        jobs = [
            Job(name, sizes(name, some, 64, "bf16", target), "", some + GRADIENTS.get(name, ()), 64, "bf16", target)
            for name, target, some in few
        ]
        some = [row_of(compiled(job)) for job in jobs]
    else:
        some = compile_missing(given.processes)
    found = faults(some)
    print("\n".join(found) or f"{len(some)} kernels: no spills, shared memory within limits")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
