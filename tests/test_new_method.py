"""A new method is one file: catalogue, command line and contract suites find it without another edit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = '''"""Halved: every pair is said to be half as far apart as it is.

    distance(r) = r / 2

Source: made for this test.
"""

from dataclasses import dataclass

from torch import Tensor

from longspan.position_map import Divide
from longspan.slots import EVERYWHERE, Branch, Distance


@dataclass(frozen=True)
class Halved(Distance):
    """Neutral: never."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """r / 2."""
        return (query - key).double() / FACTOR

    def branches(self) -> tuple[Branch, ...]:
        """One."""
        return (Branch(Divide(2.0), Divide(2.0), EVERYWHERE),)
'''


@pytest.mark.parametrize(("factor", "passes"), [("2", True), ("3", False)])
def test_dropped_in_file_is_found_and_judged(tmp_path: Path, factor: str, passes: bool) -> None:
    """The contract suite passes the right file and fails the one whose branches belie its definition."""
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src/longspan/distance/halved.py").write_text(FILE.replace("FACTOR", factor), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    listed = run("-c", "from longspan.cli import main; main()", "methods", "--json")
    assert "halved" in [entry["name"] for entry in json.loads(listed.stdout)]
    suites = ("tests/contract/test_parts.py", "tests/contract/test_oracle.py")
    judged = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *suites, "-k", "halved")
    assert (judged.returncode == 0) == passes, judged.stdout
    assert ("5 passed" in judged.stdout) == passes, judged.stdout
