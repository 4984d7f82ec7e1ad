"""Sizes of blocks: for each kernel the largest found that spill no register to memory on the targets of
`benchmarks/gpu_compiled.py`; `benchmarks/README.md` lists them.

Where eight warps spill on AMD's GPUs, four do not: each of the four units of a processor runs one of them, and a thread
may have all of its 512 registers. So AMD has sizes of its own there. Source of the 512: LLVM, `getTotalNumVGPRs` in
AMDGPUBaseInfo.cpp.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple


class Config(NamedTuple):
    """Sizes of one launch.

    Arguments:
        rows, keys: of a block of pairs; powers of two, 16 at least.
        warps, stages: of a program: groups of threads, and how many blocks are loaded ahead.
        apart: gradients of keys and of values come from two launches, because one would spill.
    """

    rows: int
    keys: int
    warps: int
    stages: int
    apart: bool = False

    @property
    def registers(self) -> int:
        """The most that a thread of NVIDIA's GPUs can have, of 65536 in a multiprocessor.

        Source: CUDA C++ Programming Guide, compute capabilities, table of technical specifications.
        """
        return min(255, 65536 // (32 * self.warps))


Maker = Literal["nvidia", "amd"]
"""Whose GPU a kernel runs on."""

Kind = Literal["plain", "half", "linear", "changed", "decaying", "both", "float32"]
"""What the loop does beside plain attention: nothing, in bfloat16 or in float16, for which the assembler needs a few
registers more; a bias per token of distance; a table of biases or a cap; decay; such a bias or a cap, beside decay or
keys that rotate; or anything in float32."""

Table = Mapping[Kind, tuple[Config, Config, Config]]
"""For up to 64, 128 and 256 channels."""

Sizes = Mapping[Maker, Table]
"""Of one kernel."""


def _sizes(nvidia: Table, amd: Table) -> Sizes:
    """Sizes of one kernel; AMD's are NVIDIA's but for those that spill there."""
    return MappingProxyType({"nvidia": MappingProxyType(nvidia), "amd": MappingProxyType({**nvidia, **amd})})


FORWARD = _sizes(
    {
        "plain": (Config(128, 64, 8, 3), Config(128, 32, 8, 2), Config(64, 16, 8, 1)),
        "half": (Config(128, 64, 8, 3), Config(128, 16, 8, 3), Config(64, 16, 8, 1)),
        "linear": (Config(128, 64, 8, 3), Config(128, 16, 8, 3), Config(32, 32, 8, 1)),
        "changed": (Config(64, 64, 8, 1), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "decaying": (Config(128, 64, 8, 3), Config(64, 64, 8, 2), Config(32, 16, 8, 1)),
        "both": (Config(64, 64, 8, 1), Config(32, 32, 8, 1), Config(32, 32, 8, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 8, 1)),
    },
    amd={
        "linear": (Config(128, 64, 4, 1), Config(128, 16, 8, 3), Config(64, 32, 4, 1)),
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(64, 32, 4, 1)),
        "decaying": (Config(128, 64, 8, 3), Config(128, 64, 4, 1), Config(32, 16, 8, 1)),
        "both": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(64, 32, 4, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 4, 1)),
    },
)

STEP = _sizes(
    {
        "plain": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "half": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(32, 32, 8, 1)),
        "decaying": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "both": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 16, 1)),
    },
    amd={
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(64, 32, 4, 1)),
        "both": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(64, 32, 4, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 4, 1)),
    },
)
"""Of the forward kernel in a decoding step, which has few rows and loads each key once; keys may rotate."""

QUERY_GRADIENT = _sizes(
    {
        "plain": (Config(64, 32, 4, 2), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "half": (Config(64, 32, 4, 2), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "linear": (Config(64, 32, 4, 2), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "changed": (Config(32, 16, 4, 1), Config(32, 16, 8, 1), Config(32, 16, 8, 1)),
        "decaying": (Config(64, 32, 4, 2), Config(32, 32, 4, 1), Config(32, 16, 8, 1)),
        "both": (Config(32, 32, 4, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
        "float32": (Config(32, 16, 8, 1), Config(32, 16, 8, 1), Config(16, 16, 8, 2)),
    },
    amd={
        "plain": (Config(64, 32, 4, 2), Config(64, 64, 4, 1), Config(32, 32, 4, 1)),
        "half": (Config(64, 32, 4, 2), Config(64, 64, 4, 1), Config(32, 32, 4, 1)),
        "linear": (Config(64, 32, 4, 2), Config(64, 64, 4, 1), Config(32, 16, 4, 1)),
        "both": (Config(32, 32, 4, 1), Config(16, 16, 8, 1), Config(16, 16, 8, 1)),
        "float32": (Config(32, 32, 4, 1), Config(32, 16, 4, 1), Config(16, 16, 4, 1)),
    },
)

KEY_GRADIENT = _sizes(
    {
        "plain": (Config(64, 32, 8, 1), Config(64, 32, 8, 1), Config(32, 16, 8, 1)),
        "half": (Config(64, 32, 8, 1), Config(64, 32, 8, 1), Config(32, 16, 8, 1)),
        "linear": (Config(64, 32, 8, 1), Config(64, 32, 8, 1), Config(32, 16, 8, 1)),
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
        "decaying": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1, apart=True)),
        "both": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 8, 1, apart=True)),
        "float32": (Config(32, 16, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 8, 1)),
    },
    amd={
        "plain": (Config(64, 64, 4, 1), Config(32, 64, 4, 1), Config(32, 16, 4, 1)),
        "half": (Config(64, 64, 4, 1), Config(32, 64, 4, 1), Config(32, 16, 4, 1)),
        "linear": (Config(64, 64, 4, 1), Config(32, 64, 4, 1), Config(32, 16, 4, 1)),
        "changed": (Config(32, 64, 4, 1), Config(32, 32, 4, 1), Config(32, 16, 4, 1)),
        "decaying": (Config(64, 64, 4, 1), Config(32, 64, 4, 1), Config(32, 16, 4, 1)),
        "both": (Config(32, 64, 4, 1), Config(32, 32, 4, 1), Config(32, 16, 4, 1)),
        "float32": (Config(32, 32, 4, 1), Config(16, 16, 4, 1), Config(16, 16, 4, 1)),
    },
)


WIDEST_FLOAT32 = 128
"""Channels of a head in float32 under decay, and in steps with a bias or a cap: registers do not hold more."""


def chosen(sizes: Sizes, maker: Maker, kind: Kind, channels: int) -> Config:
    """The sizes for heads of up to so many channels."""
    return sizes[maker][kind][0 if channels <= 64 else 1 if channels <= 128 else 2]
