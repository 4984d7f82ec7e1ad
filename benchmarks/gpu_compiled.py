"""What the Triton kernels compile to, found without a GPU: registers, spills, shared memory, instructions of the loops.

python benchmarks/gpu_compiled.py              every kernel for every target; writes results/gpu-compiled.json
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
NUMBERS = {"query", "key", "value", "out", "grad", "value_grad"}
WHOLE = {
    "seen", "blocks", "rows_of_keys", "copies", "diagonal", "query_origin", "sweep_origin", "partner", "first_angles",
}  # fmt: skip
REAL = {"lse", "delta", "bias", "factor", "logit", "decay", "query_grad", "key_grad", "bias_grad", "angles"}


@dataclass(frozen=True)
class Compiled:
    """One kernel for one target.

    Arguments:
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


def compile_for(
    name: str, kernel: Any, config: Config, variant: str, options: tuple[str, ...], channels: int, dtype: str,
    target: int | str,
) -> Compiled:  # fmt: skip
    """Compile one kernel and read what came out."""
    cuda = isinstance(target, int)
    where = GPUTarget("cuda", target, 32) if cuda else GPUTarget("hip", target, 64)
    sizes = {"num_warps": config.warps, "num_stages": config.stages, "enable_fp_fusion": True}
    given = source(kernel, channels, dtype, config, options, name == "step")
    made = triton.compile(given, target=where, options=sizes)
    registers = spilled = None
    whole: dict[str, int] = {}
    if cuda:
        registers, spilled = allocation(made.asm["ptx"], target)
        whole = first_loop(made.asm["cubin"])
    label = f"sm_{target}" if cuda else target
    wgmma = cuda and "wgmma.mma_async" in made.asm["ptx"]
    return Compiled(
        name, variant, label, dtype, channels, config, registers, spilled, made.metadata.shared, wgmma, whole
    )


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


def plain(channels: int, dtype: str, config: Config, target: int) -> Compiled:
    """Plain causal attention with the same sizes."""
    return compile_for("plain causal attention", gpu_plain.attend, config, "", (), channels, dtype, target)


def every() -> Iterator[Compiled]:
    """Every variant for Ampere and Hopper, the plain ones for other targets; in bfloat16, the last one in float32.

    The plain ones of 128 channels in float16 too.
    """
    for target in (80, 90, 120, 100, "gfx942"):
        for channels in (64, 128, 256):
            for name, (kernel, sizes) in KERNELS.items():
                for variant, (kind, options) in (STEPS if name == "step" else VARIANTS).items():
                    if target not in (80, 90) and (kind != "plain" or options not in ((), ("angles",))):
                        continue
                    some = tuple(option for option in options if _takes(name, option))
                    if name == "query gradient" and "bias" in some:
                        some = (*some, "bias_grad")
                    dtype = "fp32" if kind == "float32" else "bf16"
                    config = chosen(sizes, kind, channels)
                    if name == "step":  # of one token, and of as many as fit
                        small = config._replace(rows=16)
                        yield compile_for(name, kernel, small, variant, some, channels, dtype, target)
                        if variant == "keys as they lie":
                            continue
                    yield compile_for(name, kernel, config, variant, some, channels, dtype, target)
                    if channels == 128 and (kind, options) == ("plain", ()):
                        yield compile_for(name, kernel, config, variant, some, channels, "fp16", target)
            if isinstance(target, int):
                yield plain(channels, "bf16", chosen(FORWARD, "plain", channels), target)


def _takes(name: str, option: str) -> bool:
    return option != "logit" or name == "forward"


def faults(some: list[Compiled]) -> list[str]:
    """What must not be: spills, too much shared memory, or Hopper's matrix instructions left unused in the forward."""
    found = []
    for x in some:
        label = f"{x.kernel}, {x.variant}, {x.channels} channels, {x.dtype}, {x.target}"
        if x.spilled:
            found.append(f"{label}: spills {x.spilled} bytes")
        if x.registers is not None and x.shared > SHARED[int(x.target[3:])]:
            found.append(f"{label}: {x.shared} bytes of shared memory")
        if x.target == "sm_90" and x.kernel == "forward" and x.config.rows >= 64 and x.dtype != "fp32" and not x.wgmma:
            found.append(f"{label}: no wgmma")
    return found


def write(some: list[Compiled]) -> None:
    """Keep the results so far."""
    rows = [{**asdict(x), "config": list(x.config)} for x in some]
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    RESULTS.write_text(f'{{"triton": "{triton.__version__}", "rows": [\n{text}\n]}}\n')


def main() -> None:
    """Compile, and write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="compile a few kernels and write nothing")
    if parser.parse_args().few:
        few = ("forward", 90, ()), ("forward", "gfx942", ()), ("key gradient", 80, ()), ("step", 90, ("angles",))
        some = [
            compile_for(name, KERNELS[name][0], KERNELS[name][1]["plain"][0], "", options, 64, "bf16", target)
            for name, target, options in few
        ]
    else:
        some = []
        for one in every():
            some.append(one)
            write(some)
            print(len(some), one.kernel, one.variant, one.target, one.channels, *faults([one]), flush=True)
    found = faults(some)
    print("\n".join(found) or f"{len(some)} kernels: no spills, shared memory within limits")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
