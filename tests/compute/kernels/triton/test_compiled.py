"""Ahead of time, without a GPU: a few kernels compile, spill no register and fit; the benchmark compiles all."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def test_a_few_kernels_compile_without_spills(tmp_path: Path) -> None:
    """In a process of its own, because here kernels are interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_compiled.py"), "--few"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (
        0, ["4 kernels: no spills, shared memory within limits"],
    ), ran.stdout + ran.stderr  # fmt: skip
