"""`longspan train` from a file to tables."""

import json
import os
import shutil
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longspan.cli.main import app
from small_runs import MODEL, texts

RUN = CliRunner()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    texts(tmp_path / "texts")
    (tmp_path / "held.txt").write_text("".join(chr(97 + (i * i + i // 7) % 26) for i in range(500)))
    numbers = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    path = tmp_path / "run.toml"
    path.write_text(
        f"[model]\n{numbers}\n[design]\nplan = 'kerple_log'\n[data]\ntrain = ['texts']\ntest = ['held.txt']\n"
        "[training]\nlength = 32\nsteps = 4\nbatch = 2\n[test]\nlengths = [32, 64]\ndocs = 2\nmethods = ['window(8)']\n"
    )
    return path


def test_a_run_is_trained_measured_and_resumed(file: Path, tmp_path: Path) -> None:
    arguments = ["train", str(file), "--out", str(tmp_path / "out"), "--json"]
    first = RUN.invoke(app, arguments, catch_exceptions=False)
    found = json.loads(first.stdout)
    assert found["steps"] == 4
    assert {(row["loss"], row["method"]) for row in found["survey"]["losses"]} == {
        (loss, method) for loss in ("last_k", "repetition") for method in ("plain", "window(size=8)")
    }
    assert all(row["failed"] is None for row in found["survey"]["losses"])
    written = (tmp_path / "out" / "log.jsonl").read_text()
    again = RUN.invoke(app, arguments, catch_exceptions=False)
    assert json.loads(again.stdout)["survey"]["losses"] == found["survey"]["losses"]
    assert (tmp_path / "out" / "log.jsonl").read_text() == written


def test_a_grid_makes_a_table_and_what_is_finished_is_not_made_again(file: Path, tmp_path: Path) -> None:
    file.write_text(
        file.read_text() + "[grid]\nseeds = [0, 1]\n[grid.designs.one]\n[grid.designs.two]\nplan = 'nope'\n"
    )
    arguments = ["train", str(file), "--out", str(tmp_path / "out")]
    first = RUN.invoke(app, arguments, catch_exceptions=False)
    assert first.exit_code == 0
    assert "one" in first.stdout
    assert "two" in first.stdout
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("| `one` |") == table.count("| `two` |") == 2
    found = json.loads((tmp_path / "out" / "grid.json").read_text())
    assert (found["cells"], found["measured"], len(found["rows"])) == (4, 4, 4)
    assert [found["designs"][name]["plan"] for name in ("one", "two")] == ["kerple_log", "nope"]
    gains = [outcome["context"] for row in found["rows"] for outcome in row["outcomes"]]
    assert all(gain["documents"] > 2 for gain in gains)  # on more documents than the losses of the table
    assert all(text in table for text in (found["command"], *found["hardware"], "4 of 4 cells"))
    shutil.rmtree(tmp_path / "out" / "two-seed-1")
    log = tmp_path / "out" / "one-seed-0" / "log.jsonl"
    before = log.stat().st_mtime_ns
    RUN.invoke(app, arguments, catch_exceptions=False)
    assert (tmp_path / "out" / "table.md").read_text() == table
    assert log.stat().st_mtime_ns == before


@pytest.mark.parametrize("objective", ["next", "masked"])
def test_a_finished_grid_is_measured_again_where_its_tests_change(file: Path, tmp_path: Path, objective: str) -> None:
    plan = "rope" if objective == "next" else "rope + bidirectional"
    text = file.read_text().replace("[test]", f"objective = '{objective}'\n[test]")
    text += f"[grid.designs.one]\nplan = '{plan}'\n"
    file.write_text(text)
    out = tmp_path / "out"
    arguments = ["train", str(file), "--out", str(out)]
    assert RUN.invoke(app, arguments, catch_exceptions=False).exit_code == 0
    log = (out / "one-seed-0" / "log.jsonl").read_text()
    file.write_text(text.replace("lengths = [32, 64]", "lengths = [32, 64, 96]"))
    assert RUN.invoke(app, arguments, catch_exceptions=False).exit_code == 0
    head, _, row, *_ = (out / "table.md").read_text().split("\n\n")[1].splitlines()
    assert "loss at 96" in head
    assert "|  |" not in row
    assert (out / "one-seed-0" / "log.jsonl").read_text() == log  # and was not trained again


def test_measuring_takes_as_long_as_it_takes(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell whose measuring was cut off after half an hour counted as finished."""
    hours = count(step=3600)
    monkeypatch.setattr("longspan.survey.run.monotonic", lambda: next(hours))
    found = RUN.invoke(app, ["train", str(file), "--out", str(tmp_path / "out"), "--json"], catch_exceptions=False)
    assert not json.loads(found.stdout)["survey"]["setting"]["out_of_time"]
    assert next(hours) > 7200


def test_a_grid_without_test_texts_is_refused(file: Path, tmp_path: Path) -> None:
    text = file.read_text().replace("test = ['held.txt']\n", "")
    file.write_text(text + "[grid]\n[grid.designs.one]\n")
    found = RUN.invoke(app, ["train", str(file), "--out", str(tmp_path / "out")])
    assert "give texts in data.test" in str(found.exception)


def test_a_task_is_trained_and_examined_by_length(tmp_path: Path) -> None:
    numbers = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    (tmp_path / "run.toml").write_text(
        f"[model]\n{numbers}\n[design]\nplan = 'nope'\nabsolute = 'sinusoidal'\n"
        "[data]\ntask = 'reverse'\ntokenizer = 'symbols'\nlongest = 4\n"
        "[training]\nlength = 32\nsteps = 2\nbatch = 2\n[test]\nlengths = [4, 8]\ndocs = 3\n"
    )
    arguments = ["train", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]
    shown = RUN.invoke(app, arguments, catch_exceptions=False)
    assert "whole at 8" in " ".join(shown.stdout.split())
    found = json.loads(RUN.invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    (row,) = found["exam"]
    assert set(row["outcomes"][0]["whole"]) == {"4", "8"}
    assert found["survey"] is None


def test_torchrun_trains_one_model_and_the_first_process_speaks(file: Path, tmp_path: Path) -> None:
    """The same losses as without it, one line per step, and one result."""
    file.write_text(file.read_text() + "[parallel]\ncontext = 2\nshards = 2\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    start += ["--master-port", str(port), "-m", "longspan", "train", str(file), "--no-measure"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    found = subprocess.run(
        [sys.executable, *start, "--out", str(tmp_path / "two")], env=env, capture_output=True, text=True, timeout=240
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("trained: ") == 1
    assert found.stderr.count("kerple_log, 2 processes") == 1
    alone = file.with_name("alone.toml")
    alone.write_text(file.read_text().partition("[parallel]")[0])
    RUN.invoke(app, ["train", str(alone), "--no-measure", "--out", str(tmp_path / "one")], catch_exceptions=False)
    two, one = (
        [json.loads(line)["loss"] for line in (tmp_path / out / "log.jsonl").read_text().splitlines()]
        for out in ("two", "one")
    )
    assert two == pytest.approx(one, rel=2e-6)
