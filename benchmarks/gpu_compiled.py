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
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

os.environ.pop("TRITON_INTERPRET", None)

import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas, sm_arch_from_capability
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parent))

import gpu_plain

from longspan.compute.kernels.triton import backward, forward, launch
from longspan.compute.kernels.triton.sizes import FORWARD, KEY_GRADIENT, QUERY_GRADIENT, STEP, Config, Kind, chosen

RESULTS = Path(__file__).parent / "results" / "gpu-compiled.json"
SHARED = {80: 166912, 90: 232448, 100: 232448, 120: 101376}
"""Bytes of shared memory that one block may use. Source: CUDA C++ Programming Guide, compute capabilities, table of
technical specifications; one KiB of each is the system's."""

OPTIONS = {
    "factor": ("factor",),
    "logit": ("logit",),
    "cap": ("cap",),
    "bias": ("bias", "diagonal"),
    "bias_grad": ("bias_grad",),
    "decay": ("decay", "query_origin", "sweep_origin"),
    "angles": ("angles", "partner", "first_angles"),
}
"""Arguments that a scheme may leave out."""

VARIANTS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "branches, windows, documents": ("plain", ()),
    "log-length, softmax plus one": ("plain", ("factor", "logit")),
    "softcap": ("changed", ("cap",)),
    "bias": ("changed", ("bias",)),
    "decay": ("decaying", ("decay",)),
    "float32": ("float32", ()),
}
"""What schemes add to the loop: ReRoPE, Self-Extend, dual chunk, windows and sinks add nothing."""

STEPS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "keys as they lie": ("plain", ()),
    "keys rotate": ("plain", ("angles",)),
    "bias": ("changed", ("bias",)),
    "float32": ("float32", ("angles",)),
}
"""The same of decoding steps, whose keys may rotate when they are loaded."""

KERNELS = {
    "forward": (forward.attention, FORWARD),
    "step": (forward.attention, STEP),
    "query gradient": (backward.query_gradient, QUERY_GRADIENT),
    "key gradient": (backward.key_gradient, KEY_GRADIENT),
}
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
    registers: int | None
    spilled: int | None
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
    sizes = {"num_warps": config.warps, "num_stages": config.stages, "enable_fp_fusion": True}
    made = triton.compile(source(kernel, channels, dtype, config, options, name == "step"), target=where, options=sizes)
    registers = spilled = None
    whole: dict[str, int] = {}
    if cuda:
        registers, spilled = allocation(made.asm["ptx"], target)
        whole = first_loop(made.asm["cubin"])
    label = f"sm_{target}" if cuda else target
    wgmma = cuda and "wgmma.mma_async" in made.asm["ptx"]
    return Compiled(
        name,
        variant,
        label,
        dtype,
        channels,
        config,
        registers,
        spilled,
        made.metadata.shared,
        wgmma,
        code(name),
        whole,
    )


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
    """Every variant for Ampere and Hopper, the plain ones for other targets; in bfloat16, the last one in float32.

    The plain ones of 128 channels for Ampere and Hopper in float16 too, and plain causal attention with the same sizes.
    """
    for target in (80, 90, 120, 100, "gfx942"):
        for channels in (64, 128, 256):
            for name, (_, sizes) in KERNELS.items():
                for variant, (kind, options) in (STEPS if name == "step" else VARIANTS).items():
                    if target not in (80, 90) and (kind != "plain" or options not in ((), ("angles",))):
                        continue
                    some = tuple(option for option in options if _takes(name, option))
                    if name == "query gradient" and "bias" in some:
                        some = (*some, "bias_grad")
                    dtype = "fp32" if kind == "float32" else "bf16"
                    job = Job(name, chosen(sizes, kind, channels), variant, some, channels, dtype, target)
                    if (
                        name == "step" and job.config.rows > 16
                    ):  # of one token; and, where keys rotate, of as many as fit
                        yield job._replace(config=job.config._replace(rows=16))
                    if name != "step" or variant != "keys as they lie" or job.config.rows == 16:
                        yield job
                    if channels == 128 and target in (80, 90) and (kind, options) == ("plain", ()):
                        yield job._replace(dtype="fp16")
            if isinstance(target, int):
                yield Job(PLAIN, chosen(FORWARD, "plain", channels), "", (), channels, "bf16", target)


def _takes(name: str, option: str) -> bool:
    return option != "logit" or name == "forward"


def faults(rows: list[dict[str, Any]]) -> list[str]:
    """What must not be: spills, too much shared memory, or Hopper's matrix instructions left unused in the forward."""
    found = []
    for x in rows:
        label, target = f"{x['kernel']}, {x['variant']}, {x['channels']} channels, {x['dtype']}", x["target"]
        if x["spilled"]:
            found.append(f"{label}, {target}: spills {x['spilled']} bytes")
        if x["registers"] is not None and x["shared"] > SHARED[int(target[3:])]:
            found.append(f"{label}, {target}: {x['shared']} bytes of shared memory")
        wide = x["kernel"] == "forward" and x["config"][0] >= 64 and x["dtype"] != "fp32"
        if target == "sm_90" and wide and not x["wgmma"]:
            found.append(f"{label}, {target}: no wgmma")
    return found


def row_of(one: Compiled) -> dict[str, Any]:
    """A result as it is kept."""
    return {**asdict(one), "config": list(one.config)}


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells the rows of the results apart."""
    return tuple(row[name] for name in ("kernel", "variant", "target", "dtype", "channels")) + tuple(row["config"])


def key_of_job(job: Job) -> tuple[Any, ...]:
    """The key of a job's result."""
    label = f"sm_{job.target}" if isinstance(job.target, int) else job.target
    return job.name, job.variant, label, job.dtype, job.channels, *job.config


def compile_missing(processes: int) -> list[dict[str, Any]]:
    """Compile what is not known of the present code; the rows of the results, in the order of the jobs."""
    jobs = list(every())
    known = {key_of(row): row for row in json.loads(RESULTS.read_text())["rows"]}
    codes = {name: code(name) for name in (*KERNELS, PLAIN)}
    missing = [job for job in jobs if known.get(key_of_job(job), {}).get("code") != codes[job.name]]
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
    RESULTS.write_text(f'{{{head}, "rows": [\n{text}\n]}}\n')


def main() -> None:
    """Compile, and write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="compile a few kernels and write nothing")
    parser.add_argument("--processes", type=int, default=1, help="compile in so many processes")
    given = parser.parse_args()
    if given.few:
        few = ("forward", 90, ()), ("forward", "gfx942", ()), ("key gradient", 80, ()), ("step", 90, ("angles",))
        jobs = [
            Job(name, KERNELS[name][1]["plain"][0], "", options, 64, "bf16", target) for name, target, options in few
        ]
        some = [row_of(compiled(job)) for job in jobs]
    else:
        some = compile_missing(given.processes)
    found = faults(some)
    print("\n".join(found) or f"{len(some)} kernels: no spills, shared memory within limits")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
