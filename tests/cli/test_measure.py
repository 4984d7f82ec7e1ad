"""`longspan measure` from end to end on a tiny model: results, resuming, a kill, and what cannot be measured."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from longspan.report.comparison.finished import read
from tiny import save_model, write_texts

METHOD = "rerope(window=16)"
SOURCE = Path(__file__).parents[2] / "src"
FILES = ["curves.svg", "results.jsonl", "run.json", "share.txt", "summary.json"]


def arguments(model: Path, texts: Path, out: Path, *more: str) -> list[str]:
    lengths = ["--length", "128", "--length", "256"]
    common = ["measure", str(model), "--method", METHOD, "--text", str(texts), "--out", str(out), "--docs", "3"]
    return [*common, *lengths, *more]


def lines(out: Path) -> list[str]:
    path = out / "results.jsonl"
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def numbers(out: Path) -> dict[str, Any]:
    found = json.loads((out / "summary.json").read_text())
    return {"tasks": found["tasks"], "losses": found["losses"]}


def test_a_comparison_shows_the_texts_of_the_last_summary(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    """Two sets of texts in one folder, some the same: what is paired has the mean that the summary shows."""
    out, others = tmp_path / "out", write_texts(tmp_path / "others" / "texts", 5, 300)
    for files in (others, texts):
        command = arguments(model, files, out, "--task", "retrieval", "--loss", "last_k", "--loss", "by_position")
        assert longspan(*command).code == 0
    (found,) = read([out])
    assert {len(number.by_document) for number in found.measured} == {3}
    for number in found.measured:
        assert number.estimate is not None
        assert fmean(number.by_document.values()) == pytest.approx(number.estimate.value)


def test_the_whole_way(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    """A task, a loss and controls; a second call measures nothing again, and one more loss alone is added."""
    out = tmp_path / "out"
    command = arguments(model, texts, out, "--task", "retrieval", "--loss", "last_k", "--threshold", "0.5")
    outcome = longspan(*command)
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in out.iterdir()) == FILES
    found = numbers(out)
    assert [(row["task"], row["method"]) for row in found["tasks"]] == [("retrieval", "plain"), ("retrieval", METHOD)]
    assert set(found["tasks"][0]["scores"]) == {"128", "256"}
    assert set(found["tasks"][0]["controls"]) == {"question_alone", "without_needles", "truncated"}
    assert [row["values"]["256"]["documents"] for row in found["losses"]] == [3, 3]
    by_depth = found["tasks"][0]["depths"]["256"]
    assert set(by_depth) <= {"0.05", "0.275", "0.5", "0.725", "0.95"}
    assert sum(depth["value"] * depth["documents"] for depth in by_depth.values()) == pytest.approx(
        sum(depth["documents"] for depth in by_depth.values()) * found["tasks"][0]["scores"]["256"]["value"]
    )
    assert "retrieval, plain at 256: 0" in (out / "share.txt").read_text()
    assert "at least a score of 50% " in outcome.out
    assert outcome.err.splitlines()[-1].startswith("survey: ")
    assert json.loads((out / "summary.json").read_text())["diagnostics"] == []
    assert "Controls at 256 tokens" in (out / "share.txt").read_text()
    before = lines(out)
    outcome = longspan(*command, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) == json.loads((out / "summary.json").read_text())
    assert lines(out) == before
    assert longspan(*command, "--loss", "by_position").code == 0
    assert lines(out)[: len(before)] == before
    assert len(lines(out)) == len(before) + 2 * 2 * 3


def test_a_look_into_attention(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--diagnostic", "sink_mass( sinks=1 )", "--diagnostic", "receptive_field"]
    outcome = longspan(*arguments(model, texts, out, *asked, "--method", "window(size=16)"))
    assert outcome.code == 0, outcome.err
    found = json.loads((out / "summary.json").read_text())
    assert (found["tasks"], found["losses"]) == ([], [])
    rows = {(row["diagnostic"], row["method"]): row["values"] for row in found["diagnostics"]}
    assert {name for name, _ in rows} == {"sink_mass(sinks=1)", "receptive_field"}
    assert [rows["receptive_field", "plain"][n]["value"] for n in ("128", "256")] == [128, 256]
    assert [rows["receptive_field", "window(size=16)"][n]["value"] for n in ("128", "256")] == [31, 31]
    assert 0 < rows["sink_mass(sinks=1)", "plain"]["256"]["value"] < 1
    assert rows["sink_mass(sinks=1)", "plain"]["256"]["documents"] == 3
    assert "receptive_field, plain" in (out / "share.txt").read_text()
    assert "receptive_field" in outcome.out


def test_a_memory_is_shown_with_what_it_saves_and_costs(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    method = "rerope(window=16) + compressed(codes=4)"
    command = arguments(model, texts, tmp_path / "out", "--loss", "last_k(k=32)", "--method", method, "--docs", "1")
    outcome = longspan(*command, "--json")
    assert outcome.code == 0, outcome.err
    rows = {(row["diagnostic"], row["method"]): row["values"] for row in json.loads(outcome.out)["diagnostics"]}
    size, distortion = (
        {of: {n: found["value"] for n, found in rows[name, of].items()} for of in ("plain", METHOD, method)}
        for name in ("cache_size", "memory_distortion")
    )
    assert size["plain"] == size[METHOD]
    assert size["plain"]["256"] == 2 * size["plain"]["128"] > 8 * size[method]["256"] == 8 * size[method]["128"]
    assert distortion["plain"] == distortion[METHOD] == {"128": 0.0, "256": 0.0}
    assert distortion[method]["256"] > 0
    share = (tmp_path / "out" / "share.txt").read_text()
    assert f"cache_size, {method}" in share


def test_a_longer_length_measures_nothing_again(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    """And a task with settings is a task of its own."""
    out = tmp_path / "out"
    asked = ["--task", "retrieval(tail=8)", "--task", "retrieval", "--loss", "by_position", "--threshold", "0.5"]
    command = arguments(model, texts, out, *asked)
    outcome = longspan(*command)
    assert outcome.code == 0, outcome.err
    assert [row["task"] for row in numbers(out)["tasks"]][::2] == ["retrieval(tail=8)", "retrieval"]
    before = lines(out)
    outcome = longspan(*command, "--length", "300")
    assert outcome.code == 0, outcome.err
    assert lines(out)[: len(before)] == before
    added = [json.loads(line)["arguments"] for line in lines(out)[len(before) :]]
    assert {each["length"] for each in added} == {300}


def test_a_killed_survey_goes_on(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    program = "from longspan.cli import main; main()"
    command = [sys.executable, "-c", program, *arguments(model, texts, out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(lines(out)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    kept = [line for line in lines(out) if line.endswith("\n")]
    assert not (out / "summary.json").exists()
    assert longspan(*arguments(model, texts, out)).code == 0
    assert lines(out)[: len(kept)] == kept
    assert longspan(*arguments(model, texts, whole)).code == 0
    assert numbers(out) == numbers(whole)


def test_tasks_are_written_for_lm_evaluation_harness_and_nothing_is_measured(
    longspan: Any, model: Path, tmp_path: Path
) -> None:
    out, tasks = tmp_path / "out", tmp_path / "tasks"
    asked = ["measure", str(model), "--length", "256", "--docs", "2", "--out", str(out), "--lm-eval", str(tasks)]
    outcome = longspan(*asked, "--task", "passkey")
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == ["longspan_passkey_256"]
    assert sorted(path.name for path in tasks.iterdir()) == ["longspan_passkey_256.jsonl", "longspan_passkey_256.yaml"]
    assert not out.exists()
    refused = longspan(*asked, "--task", "parity")
    assert refused.code != 0
    assert "task parity is not answered in writing: lm-evaluation-harness cannot be given it" in refused.err


def test_a_model_that_returns_nan_has_failed_and_has_no_number(longspan: Any, texts: Path, tmp_path: Path) -> None:
    broken, out = save_model(tmp_path / "broken", broken=True), tmp_path / "out"
    plain_alone = ["--length", "128", "--docs", "2", "--text", str(texts), "--out", str(out)]
    outcome = longspan("measure", str(broken), *plain_alone)
    assert outcome.code == 0, outcome.err
    found = numbers(out)
    assert all("nan" in row["failed"].lower() for row in (*found["tasks"], *found["losses"]))
    assert all(row["scores"] == {} for row in found["tasks"])
    assert all(row["values"] == {} for row in found["losses"])


def test_a_budget_ends_it_and_the_same_command_goes_on(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--budget", "0.00001"))
    assert outcome.code == 0, outcome.err
    assert "--budget 1e-05 is used up: run the same command again to go on" in outcome.err
    assert len(lines(out)) == 1
    assert longspan(*arguments(model, texts, out, "--budget", "0.00001")).code == 0
    assert len(lines(out)) == 2


def refused(longspan: Any, *command: str) -> str:
    """The one line of an error."""
    outcome = longspan(*command)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    return outcome.err.splitlines()[-1]


def test_bad_input_is_one_clear_line(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty.txt"
    empty.write_text("")
    command = arguments(model, texts, out)
    assert "unknown task 'retrieva'; did you mean 'retrieval'?" in refused(longspan, *command, "--task", "retrieva")
    assert "unknown loss 'lastk'; did you mean 'last_k'?" in refused(longspan, *command, "--loss", "lastk")
    assert "--share or --threshold, not both" in refused(longspan, *command, "--share", "0.9", "--threshold", "0.5")
    assert "a share must lie between 0 and 1, got 2" in refused(longspan, *command, "--share", "2")
    assert "--length must be at least 8 tokens, got 4" in refused(longspan, *command, "--length", "4")
    least = refused(longspan, *command, "--length", "16", "--task", "retrieval")
    assert "task retrieval cannot be asked at --length 16: 16 tokens leave no room for text" in least
    bare = ["measure", str(model), "--out", str(out), "--length", "128"]
    assert "no text is as long as 128 tokens" in refused(longspan, *bare, "--text", str(empty))
    assert "give documents with --text PATH" in refused(longspan, *bare, "--loss", "last_k")
    assert not out.exists()


def test_two_settings_do_not_share_a_folder(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    short = ["--budget", "0.00001"]
    assert longspan(*arguments(model, texts, out, *short)).code == 0
    kept = lines(out)
    line = refused(longspan, *arguments(model, texts, out, "--trained-length", "32", *short))
    assert f"{out} holds other results (trained_length 64, not 32): give another --out" in line
    assert lines(out) == kept


def test_an_example_that_is_longer_than_the_first_one_is_found_before_anything_is_measured(
    longspan: Any, tmp_path: Path
) -> None:
    command = ["measure", "--task", "niah_single_2", "--length", "256", "--docs", "2", "--out", str(tmp_path / "out")]
    line = refused(longspan, *command)
    assert "task niah_single_2 cannot be asked at --length 256 in example 2: no example has at most 256 tokens" in line
    assert "the shortest one has 259: give a longer length" in line
    assert not (tmp_path / "out").exists()


def test_the_bundled_model_writes_an_answer(longspan: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = longspan("measure", "--task", "passkey", "--length", "256", "--docs", "1", "--out", out)
    assert outcome.code == 0, outcome.err
    first = json.loads(lines(out)[0])["result"]
    assert first["scored"] == "writing"
    assert len(first["answers"][0]) == 5
    assert 0 <= first["score"] <= 1
