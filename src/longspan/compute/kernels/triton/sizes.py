"""Sizes of blocks: for each kernel the largest found that spill no register on NVIDIA's targets of
`benchmarks/gpu_compiled.py`; `benchmarks/README.md` lists what spills all the same, on AMD's for the most part.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple


class Config(NamedTuple):
    """Sizes of one launch.

    Arguments:
        rows, keys: of a block of pairs; powers of two, 16 at least.
        warps, stages: of a program: groups of threads, and how many blocks are loaded ahead.
    """

    rows: int
    keys: int
    warps: int
    stages: int


Kind = Literal["plain", "half", "changed", "decaying", "float32"]
"""What the loop does beside plain attention: nothing, in bfloat16 or in float16, for which the assembler needs a few
registers more; a bias or a cap; decay; or all of it in float32."""

Sizes = Mapping[Kind, tuple[Config, Config, Config]]
"""For up to 64, 128 and 256 channels."""

FORWARD: Sizes = MappingProxyType(
    {
        "plain": (Config(128, 64, 8, 3), Config(128, 32, 8, 2), Config(64, 16, 8, 1)),
        "half": (Config(128, 64, 8, 3), Config(128, 16, 8, 3), Config(64, 16, 8, 1)),
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(32, 32, 8, 1)),
        "decaying": (Config(128, 64, 8, 3), Config(64, 64, 8, 2), Config(32, 16, 8, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 16, 1)),
    }
)

STEP: Sizes = MappingProxyType(
    {
        "plain": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "half": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "changed": (Config(64, 32, 8, 1), Config(32, 32, 8, 1), Config(32, 32, 8, 1)),
        "decaying": (Config(64, 64, 8, 2), Config(32, 32, 8, 2), Config(16, 16, 8, 1)),
        "float32": (Config(32, 32, 8, 1), Config(16, 16, 8, 1), Config(16, 16, 16, 1)),
    }
)
"""Of the forward kernel in a decoding step, which has few rows and loads each key once; keys may rotate."""

QUERY_GRADIENT: Sizes = MappingProxyType(
    {
        "plain": (Config(64, 32, 4, 2), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "half": (Config(64, 32, 4, 2), Config(64, 32, 8, 2), Config(32, 32, 8, 1)),
        "changed": (Config(32, 16, 4, 1), Config(32, 16, 8, 1), Config(32, 16, 8, 1)),
        "decaying": (Config(64, 32, 4, 2), Config(32, 32, 4, 1), Config(32, 16, 8, 1)),
        "float32": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
    }
)

KEY_GRADIENT: Sizes = MappingProxyType(
    {
        "plain": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(32, 16, 8, 1)),
        "half": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(32, 16, 8, 1)),
        "changed": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
        "decaying": (Config(32, 32, 8, 1), Config(32, 32, 8, 1), Config(16, 16, 8, 1)),
        "float32": (Config(32, 32, 8, 2), Config(16, 16, 8, 1), Config(16, 16, 8, 1)),
    }
)


def chosen(sizes: Sizes, kind: Kind, channels: int) -> Config:
    """The sizes for heads of up to so many channels."""
    return sizes[kind][0 if channels <= 64 else 1 if channels <= 128 else 2]
