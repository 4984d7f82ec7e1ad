"""Every bad input is one clear line and exit code 2, and nothing is lost or overwritten."""

import os
from pathlib import Path
from typing import Any

import pytest

from faulty_disk import read_only_after
from longspan.measure.hardware import memory
from longspan.pretrained import attach
from longspan.pretrained.storing.save import save
from pretrained import damage
from tiny import llama, save_model, words_tokenizer, write_texts

LINES: dict[str, tuple[list[str], str]] = {
    "no length": ([], "give the number of tokens to read, as in --to 32k"),
    "unknown method": (["--to", "256", "--method", "rerpoe"], "unknown method 'rerpoe'"),
    "bad argument": (["--to", "256", "--method", "rerope(widow=3)"], "did you mean 'window'?"),
    "needs training": (["--to", "256", "--method", "alibi"], "needs training"),
    "texts too short": (["--to", "5000"], "the texts give 0 documents of 5000 tokens and 9 are needed"),
    "no documents": (["--to", "256", "--docs", "0"], "--docs must be at least 1"),
    "tolerance": (["--to", "256", "--tolerance", "-1"], "--tolerance must be at least 0"),
    "budget": (["--to", "256", "--budget", "0"], "--budget must be above 0 minutes"),
    "dtype": (["--to", "256", "--dtype", "int8"], "--dtype must be auto, float32, bfloat16, float16"),
    "trained length": (["--to", "256", "--trained-length", "2"], "--trained-length must be at least 8"),
}


def one_line(outcome: Any, words: str) -> None:
    assert outcome.code == 2
    told = [line for line in outcome.err.splitlines() if line.startswith("longspan: ")]
    assert len(told) == 1
    assert words in told[0]
    assert outcome.err.splitlines()[-1] == told[0]
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("name", LINES)
def test_bad_settings(name: str, longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    arguments, words = LINES[name]
    common = ["--text", texts, "--out", tmp_path / "out", "--dtype", "float32"]
    one_line(longspan("extend", model, *common, *arguments), words)
    assert not (tmp_path / "out" / "summary.json").exists()


def test_dropped_texts_are_named(longspan: Any, model: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts", 3, 256)
    (texts / "short.txt").write_text("the sun rose . " * 40)
    outcome = longspan("extend", model, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32")
    one_line(outcome, "the texts give 3 documents of 256 tokens and 9 are needed (1 files dropped)")
    assert f"dropped {texts / 'short.txt'}: 160 tokens, fewer than 256" in outcome.err


def test_missing_files(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    one_line(longspan("extend", model, "--to", 256, "--text", nowhere), "no file or folder")
    one_line(longspan("extend", nowhere, "--to", 256, "--text", texts), "nowhere")
    one_line(longspan("extend", tmp_path / "model.gguf", "--to", 256, "--text", texts), "model.gguf")
    one_line(longspan("extend", model, "--to", 256), "give your documents: --text PATH")
    (tmp_path / "empty").mkdir()
    one_line(longspan("extend", tmp_path / "empty", "--to", 256, "--text", texts), "empty")


def test_a_file_that_is_no_text(longspan: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8" * 300)
    out = tmp_path / "out"
    one_line(longspan("extend", model, "--to", 256, "--text", tmp_path / "photo.jpg", "--out", out), "is no UTF-8 text")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub that must not be asked."""
    monkeypatch.setattr("longspan.pretrained.storing.checkpoint.get_hf_file_metadata", lambda url: pytest.fail(url))


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("name", ["nowhere/", "./nowhere", "a/b/c", "nowhere.gguf"])
@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_model_that_is_not_there(longspan: Any, texts: Path, name: str, dtype: str) -> None:
    one_line(longspan("extend", name, "--to", 256, "--text", texts, "--dtype", dtype), f"{name}")


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_model_with_a_layer_of_random_numbers(longspan: Any, texts: Path, tmp_path: Path, dtype: str) -> None:
    folder = damage.change_config(save_model(tmp_path / "model"), num_hidden_layers=3, layer_types=None)
    outcome = longspan("extend", folder, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", dtype)
    one_line(outcome, "lacks weights of the model that its config describes: model.layers.2.")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [kind for kind in damage.KINDS if kind != "gguf"])
def test_a_damaged_checkpoint(longspan: Any, tmp_path: Path, kind: str) -> None:
    """Refused, or read after all; then the text is too short."""
    tokenizer = words_tokenizer()
    model = attach.extend(llama(len(tokenizer)), "rope(theta=1e6)", length=128)
    whole = save(model, tmp_path / "whole", tokenizer=tokenizer)
    short = write_texts(tmp_path / "short", 1, 70)
    lines = set()
    for seed in range(12):
        folder = damage.copied(whole, tmp_path / f"model-{seed}")  # a process loads what it has a name for once
        damage.damage(folder, kind, seed)
        common = ("--text", short, "--out", tmp_path / "out", "--dtype", "float32")
        outcome = longspan("extend", folder, "--to", 256, "--method", "rerope", *common)
        one_line(outcome, "")
        lines.add(outcome.err.splitlines()[-1])
    assert len(lines) > 3


def test_a_tokenizer_of_another_model(longspan: Any, texts: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    llama(12).save_pretrained(folder)
    outcome = longspan("extend", folder, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32")
    one_line(outcome, "they do not belong together")


def test_not_enough_memory(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda device: memory.WORKING + 200_000)
    outcome = longspan("extend", model, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32")
    one_line(outcome, ", or try --dtype bfloat16")


def test_memory_that_runs_out_all_the_same(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("longspan.measure.kinds.reading.reading", exhausted)
    outcome = longspan("extend", model, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32")
    one_line(outcome, "out of memory while reading 256 tokens; what was measured is kept in")


def test_a_model_that_returns_nan(longspan: Any, texts: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", broken=True)
    outcome = longspan("extend", folder, "--to", 256, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32")
    one_line(outcome, "plain, the model without any method, failed: the model returned NaN or infinity")
    assert '"result":null' in (tmp_path / "out" / "results.jsonl").read_text()


@pytest.mark.parametrize("given", ["\udcff", "\udcff/out"])
def test_a_folder_that_no_model_can_be_written_to(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, given: str
) -> None:
    """Safetensors writes to names of valid text only; that is said before anything is measured."""
    outcome = longspan("extend", model, "--to", 256, "--text", texts, "--out", tmp_path / given, "--dtype", "float32")
    one_line(outcome, rf"no model can be written to {tmp_path}/{given}, whose name".replace("\udcff", r"\udcff"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    outcome = longspan("extend", model, "--to", 256, "--text", texts, "--out", tmp_path, "--dtype", "float32")
    one_line(outcome, "exists and holds no results of this command: give another --out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_folder_with_other_results_is_left_alone(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    common = ("extend", model, "--text", texts, "--out", tmp_path / "out", "--dtype", "float32", "--docs", 1)
    assert longspan(*common, "--to", 128, "--method", "rerope").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    one_line(longspan(*common, "--to", 256, "--method", "rerope"), "holds other results (length 128, not 256)")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    common = ("extend", model, "--to", 256, "--text", texts, "--dtype", "float32", "--method", "rerope")
    disk = read_only_after(0)
    with disk.mounted():
        outcome = longspan(*common, "--out", tmp_path / "out")
    assert disk.failed
    one_line(outcome, f"cannot write {tmp_path / 'out'}: Read-only file system: choose a place that can be written to")
    one_line(longspan(*common, "--out", texts / "text-00.txt" / "out"), "text-00.txt/out: Not a directory")
    (tmp_path / "out").mkdir()
    with read_only_after(0).mounted():
        outcome = longspan(*common, "--out", tmp_path / "out")
    one_line(outcome, f"cannot write {tmp_path / 'out' / 'results.jsonl'}: Read-only file system")
    assert os.listdir(tmp_path / "out") == []
