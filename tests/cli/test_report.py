"""`longspan report` from end to end."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longspan.cli.main import app
from longspan.errors import InputError
from report.comparison.folders import METHODS, study

LOSSES = {method: [loss] * 8 for method, loss in METHODS.items()}


def test_the_whole_way(tmp_path: Path) -> None:
    """Text on the terminal, files in the folder, and the compared folders as they were."""
    a, b = study(tmp_path / "a", LOSSES), study(tmp_path / "b", LOSSES)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    out = tmp_path / "out"
    found = CliRunner().invoke(app, ["report", str(a), str(b), "--out", str(out)])
    assert found.exit_code == 0
    assert found.stdout == (out / "comparison.txt").read_text() + f"\nreport: {out / 'comparison.html'}\n"
    assert (out / "comparison.csv").read_text().count("\n") == 1 + 2 * (2 + 4 + 5 + 5)
    assert {path: path.read_bytes() for path in before} == before
    again = CliRunner().invoke(app, ["report", str(a), str(b), "--out", str(out)])
    assert again.stdout == found.stdout


def test_json_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = study(tmp_path / "a", LOSSES), study(tmp_path / "b")
    found = CliRunner().invoke(app, ["report", "a", "b", "--json"])
    read = json.loads(found.stdout)
    assert [each["label"] for each in read["folders"]] == ["a", "b"]
    assert read["reference"] == {"label": "a", "method": "rerope(window=256)"}
    assert len(read["rows"]) == 8
    assert {path.name for path in tmp_path.iterdir()} == {a.name, b.name}


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    good = study(tmp_path / "good")
    found = CliRunner().invoke(app, ["report", str(good), str(tmp_path)])
    assert isinstance(found.exception, InputError)
    assert str(found.exception).startswith(f"{tmp_path} holds no results")
