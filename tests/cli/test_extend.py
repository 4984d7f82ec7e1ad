"""`longspan extend` from end to end on a tiny model: results, resuming, interruptions."""

import json
import os
import signal
import subprocess
import sys
import time
from html import escape
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from faulty_disk import room_for
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import load
from longspan.report.printable import printable
from tiny import llama, prose, save_model, words_tokenizer

METHOD = "rerope(window=16) + log_length"
FILLED = "rerope(window=16) + log_length(trained_length=64)"
FILES = ["model", "report.html", "results.jsonl", "run.json", "summary.json"]
SOURCE = Path(__file__).parents[2] / "src"


def arguments(model: Path, texts: Path, out: Path, *more: str) -> list[str]:
    common = ["extend", str(model), "--to", "256", "--text", str(texts), "--out", str(out), "--dtype", "float32"]
    return [*common, *more]


def lines(out: Path) -> list[str]:
    path = out / "results.jsonl"
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def numbers(out: Path) -> dict[str, Any]:
    """What a study found, without times and places."""
    summary = json.loads((out / "summary.json").read_text())
    timed = ("seconds", "tokens_per_second", "peak_bytes", "against")
    rows = [{name: value for name, value in row.items() if name not in timed} for row in summary["methods"]]
    return {"rows": rows, "winner": summary["winner"], "race": [row["method"] for row in summary["race"]["rows"]]}


def test_a_budget_that_is_too_small_gives_the_shortest_study_and_says_so(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--budget", "0.0001"))
    assert outcome.code == 0
    said = outcome.err.splitlines()
    (planned,) = (line for line in said if "planned, about " in line)
    assert "all 13 candidates on one text of 128 tokens, then the best 2 on 1 document of 256 tokens" in planned
    assert any("that is more than --budget 0.0001: to read 256 tokens once takes about " in line for line in said)
    assert any("a verdict takes about " in line and "give --budget " in line for line in said)
    assert "left out, to keep to --budget 0.0001: " in outcome.err
    assert "all but 1 of the 8 documents to judge on, so that there is no full verdict" in outcome.err
    summary = json.loads((out / "summary.json").read_text())
    assert outcome.out.startswith("No full verdict: 1 document was judged, at least 8 are needed. So far ")
    assert len(summary["setting"]["documents"]) == 1
    assert summary["race"]["rows"] == []
    assert len(summary["race"]["entry"]) == 13
    assert len(summary["race"]["finalists"]) == 2
    unjudged = {row["method"] for row in summary["race"]["entry"]} - set(summary["race"]["finalists"])
    assert set(summary["verdict"]["undecided"]) == unjudged
    assert "Set aside after one text of 128 tokens, because the budget let only some be judged: " in outcome.out
    assert (
        "Which of the candidates are judged was decided by one text of 128 tokens" in (out / "report.html").read_text()
    )
    read = [record["arguments"] for record in map(json.loads, lines(out))]
    assert sum(each["length"] == 256 for each in read) == 4  # truncation, plain, and two methods, on one document


def test_the_whole_way(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shortest study with a verdict, whatever the pace."""
    monkeypatch.setattr("longspan.study.planning.budget.OVERRUN", inf)
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--budget", "0.0001"))
    assert outcome.code == 0
    assert "left out, to keep to --budget 0.0001: " in outcome.err
    assert "speed: 2 of 2 done in 0:00:0" in outcome.err
    assert "\x1b" not in outcome.err
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["judged"]  # a model of random numbers predicts worse than guessing
    assert outcome.out.startswith("No full verdict: truncation predicts these texts worse than equal chances for all ")
    assert summary["warnings"][0] in outcome.out
    assert len(summary["race"]["rows"]) == 3
    assert len(summary["verdict"]["undecided"]) == 10
    assert [row["method"] for row in summary["methods"]] == ["truncation", "plain", *summary["race"]["finalists"]]
    assert summary["race"]["finalists"]
    assert "the plain model is not surely behind after 3 documents: it reads all 8" in outcome.err
    assert [row["beyond"]["documents"] for row in summary["methods"]] == [8, 8, 8]
    assert summary["race"]["length"] == (64 + 256) // 2
    raced, judged = set(summary["race"]["documents"]), set(summary["setting"]["documents"])
    assert len(judged) == 8
    assert raced
    assert not raced & judged
    assert str(out / "report.html") in outcome.out
    assert outcome.out.splitlines()[0] in (out / "report.html").read_text()
    records = [json.loads(line) for line in lines(out)]
    assert len({record["key"] for record in records}) == len(records)
    assert not list(out.glob(".*"))
    assert summary["winner"] is None
    assert not (out / "model").exists()


def test_within_the_trained_length_the_plain_model_is_to_beat(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--to", "64"))
    assert outcome.code == 0, outcome.err
    summary = json.loads((out / "summary.json").read_text())
    assert [row["method"] for row in summary["methods"]] == ["plain", *summary["race"]["finalists"]]
    assert "string(offset=21, local=10)" in {row["method"] for row in summary["race"]["rows"]}
    assert all(row["beyond"]["documents"] == 8 for row in summary["methods"])
    assert outcome.out.startswith("No full verdict: the plain model predicts these texts worse than equal chances")
    assert outcome.out.splitlines()[0] in (out / "report.html").read_text()


def test_a_length_at_which_no_fact_is_far_is_refused_before_anything_is_measured(longspan: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = longspan("extend", "bundled", "--to", "520", "--out", str(out))
    assert outcome.code == 2
    assert "--to 520 is too short: no fact in these texts lies farther back than the 512 tokens" in outcome.err
    assert not out.exists()


def test_a_study_of_one_document_judges_on_one_that_holds_far_facts(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    """Of the first two documents none does at this length."""
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--to", "110", "--budget", "0.0001", "--method", METHOD))
    assert outcome.code == 0, outcome.err
    assert " of 8 documents hold facts farther back than 64 tokens: facts and costs are compared on " in outcome.err
    summary = json.loads((out / "summary.json").read_text())
    assert [row["beyond"]["documents"] for row in summary["methods"]] == [1, 1, 1]


def test_one_named_method_is_written_whatever_the_verdict(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = longspan(*arguments(model, texts, out, "--method", METHOD, "--docs", "2", "--json"))
    assert outcome.code == 0
    summary = json.loads(outcome.out)
    assert summary == json.loads((out / "summary.json").read_text())
    assert not summary["judged"]
    assert summary["winner"] is None
    assert summary["model"] == str(out / "model")
    written = load(out / "model")
    attachment = attachment_of(written)
    assert attachment is not None
    assert attachment.text == FILLED
    assert len(AutoTokenizer.from_pretrained(out / "model")) == len(AutoTokenizer.from_pretrained(model))
    assert torch.equal(written.lm_head.weight, load(model).lm_head.weight)


@pytest.mark.parametrize("rope_type", ["default", "dynamic"])
def test_where_frequencies_follow_the_length_prices_start_from_texts_that_are_read_alone(
    longspan: Any, texts: Path, tmp_path: Path, rope_type: str
) -> None:
    """The plain model rotates the first tokens of a longer text differently; a method's are the same."""
    model, out = save_model(tmp_path / "model"), tmp_path / "out"
    config = json.loads((model / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 4.0}
    (model / "config.json").write_text(json.dumps(config))
    assert longspan(*arguments(model, texts, out, "--method", "ntk(factor=4)", "--docs", "1")).code == 0
    asked = [json.loads(line)["arguments"] for line in lines(out)]
    assert sum(each["kind"] == "short" for each in asked) == (rope_type == "dynamic")
    assert any((each["kind"], each["method"]) == ("reading", "plain") for each in asked)
    setting = json.loads((out / "summary.json").read_text())["setting"]
    assert {each["document"]["digest"] for each in asked} == set(setting["digests"])


def test_a_second_call_measures_nothing_again(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = arguments(model, texts, out, "--method", METHOD, "--docs", "2")
    assert longspan(*command).code == 0
    before, model_time = lines(out), (out / "model" / "config.json").stat().st_mtime_ns
    assert longspan(*command).code == 0
    assert lines(out) == before
    assert (out / "model" / "config.json").stat().st_mtime_ns == model_time
    assert longspan(*command, "--method", "window(sinks=4)").code == 0
    assert lines(out)[: len(before)] == before
    assert len(lines(out)) > len(before)


def large_model(folder: Path) -> Path:
    """A model that is larger on disk than its report: most of its tokens are never used."""
    tokenizer = words_tokenizer()
    llama(20_000).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_disk_that_fills_up_is_one_line_and_the_same_command_goes_on(
    longspan: Any, model: Path, texts: Path, tmp_path: Path
) -> None:
    """It cuts the records first, then the report, then the model: each is smaller than the one that comes after it.

    Summary and report do not wait for the model, which may be too large for the disk.
    """
    out, model = tmp_path / "out", large_model(tmp_path / "large")
    command = arguments(model, texts, out, "--method", METHOD, "--docs", "2")
    refusal = "longspan: cannot write {}: File too large: choose a place that can be written to"
    begun, verdict = ["results.jsonl", "run.json"], ["report.html", "results.jsonl", "run.json", "summary.json"]
    for room, name, there in (
        (10_000, "results.jsonl", begun),
        (60_000, "report.html", [*begun, "summary.json"]),
        (2_000_000, "model", verdict),
    ):
        kept = lines(out)
        with room_for(room):
            outcome = longspan(*command)
        assert outcome.code == 2
        assert outcome.out == ""
        last = outcome.err.splitlines()[-1]
        assert last.startswith(refusal.format(out / name))
        assert (f"the verdict is in {out / 'report.html'}" in last) == (name == "model")
        assert lines(out)[: len(kept)] == kept
        assert all(json.loads(line)["key"] for line in lines(out))
        assert sorted(path.name for path in out.iterdir()) == there
    assert "writing the model with " in outcome.err
    assert ": 5.2 MB\n" in outcome.err
    kept = lines(out)
    assert longspan(*command).code == 0
    assert lines(out) == kept
    (out / "model" / "model.safetensors").unlink()  # as an older version left a model that it was replacing
    with (out / "results.jsonl").open("a") as file:
        file.write('{"key": "torn by a ki')
    (out / ".summary.json.12").write_text("half")
    outcome = longspan(*command)
    assert outcome.code == 0
    assert f"dropped 21 bytes at the end of {out / 'results.jsonl'}: no whole record" in outcome.err.splitlines()
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert load(out / "model")


NAMES = ["\x1b[31m[bold]red", "two\nlines", "\udcff\udcfe", "[link=x]", "{brace} <b>", "\u202egnp", "${\u00e9}"]


def test_names_are_printed_literally_and_read_whatever_they_hold(longspan: Any, model: Path, tmp_path: Path) -> None:
    """In messages, verdict, records and page: nothing that a terminal acts on, and nothing is lost."""
    texts, out = tmp_path / "texts", tmp_path / "\x1b[31m[bold]red \u202e{brace} <b>"
    texts.mkdir()
    for number, name in enumerate(NAMES):
        (texts / f"{name}.txt").write_text(prose(256, number))
    short = texts / "".join(NAMES)
    short.write_text("the sun rose . " * 30)
    outcome = longspan(*arguments(model, texts, out, "--text", str(short), "--method", METHOD, "--docs", "7"))
    assert outcome.code == 0, outcome.err
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (outcome.out, outcome.err, page):
        assert all(line.isprintable() for line in text.splitlines())
    said = str(tmp_path) + r"/\x1b[31m[bold]red \u202e{brace} <b>"
    assert f"results in {said}\n" in outcome.err
    assert f"report: {said}/report.html\n" in outcome.out
    dropped = r"\x1b[31m[bold]redtwo\nlines\udcff\udcfe[link=x]{brace} <b>\u202egnp${é}: 120 tokens, fewer than 256"
    assert f"/{dropped}\n" in outcome.err
    assert f"/{escape(dropped)}</p>" in page
    judged = json.loads((out / "summary.json").read_text())["setting"]["documents"]
    assert sorted(judged) == sorted(f"{name}.txt" for name in NAMES)
    for name in judged:
        assert escape(printable(name)) in page


def started(command: list[str]) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    # What a shell starts in the background ignores Ctrl-C, and so would its children.
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listens}; from longspan.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_lines(process: "subprocess.Popen[str]", out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(lines(out)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_study_goes_on(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    more = ("--method", METHOD, "--method", "window(sinks=4)", "--docs", "4")
    process = started(arguments(model, texts, out, *more))
    wait_for_lines(process, out, 5)
    process.send_signal(stop)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stdout == ""
    if stop is signal.SIGINT:
        assert stderr.splitlines()[-1].startswith("longspan: interrupted; what was measured is kept")
        assert "Traceback" not in stderr
    kept = [line for line in lines(out) if line.endswith("\n")]
    assert len(kept) >= 5
    assert not (out / "summary.json").exists()
    with (out / "results.jsonl").open("a") as file:
        file.write('{"key": "torn by a ki')
    assert longspan(*arguments(model, texts, out, *more)).code == 0
    assert lines(out)[: len(kept)] == kept
    assert longspan(*arguments(model, texts, whole, *more)).code == 0
    assert numbers(out) == numbers(whole)
    assert len(lines(out)) == len(lines(whole))


def test_two_at_once_do_not_mix(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = started(arguments(model, texts, out, "--method", METHOD))
    try:
        wait_for_lines(process, out, 1)
        outcome = longspan(*arguments(model, texts, out, "--method", METHOD))
    finally:
        process.kill()
        process.communicate()
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("longspan: another run is writing to")


@pytest.mark.parametrize("arguments", [["--help"], ["extend", "--help"]])
def test_help_needs_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['longspan', *{arguments!r}]\n"
        "from longspan.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "loaded = {'torch', 'transformers', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.DEVNULL)
