"""`longspan bench attention`: the table's numbers are ratios of one run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longspan.bench.memory import peak
from longspan.cli.main import app
from longspan.errors import NotationError

QUICK = ["bench", "attention", "--quick", "--length", "256", "--dtype", "float32", "--rounds", "2"]


def test_measures_and_writes(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*QUICK, "--scheme", "rerope", "--scheme", "t5", "--out", str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["rerope", "t5"]
    for row in found["rows"]:
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["ratio"] == pytest.approx(row["seconds"] / row["baseline_seconds"], rel=3)
    assert "torch" in found
    assert "rerope" in done.output


def test_unknown_row() -> None:
    with pytest.raises(NotationError, match="did you mean 'rerope'"):
        CliRunner().invoke(app, [*QUICK, "--scheme", "reropee"], catch_exceptions=False)


def test_memory_of_rerope_is_linear() -> None:
    """Doubling the length doubles the peak, and never reaches one matrix of scores."""

    def lowest(length: int) -> int:  # now and then the system hands a process a fifth more than it asked for
        return min(peak("rerope(512)", length, 2, 64)["peak_bytes"] for _ in range(3))

    short, long = lowest(16384), lowest(32768)
    assert long < 2.5 * short
    assert long < 32768**2
