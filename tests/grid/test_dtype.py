"""The dtype to measure in: what was asked for, what the folder has, what was tried; in this order."""

import json
from pathlib import Path

import pytest

from longspan.grid import dtype as dtype_file
from longspan.grid.dtype import TRIAL, chosen_dtype
from tiny import save_model, write_texts


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each trial, which always finds bfloat16 faster."""
    found: list[int] = []
    monkeypatch.setattr(dtype_file, "faster_dtype", lambda _, text, device: found.append(len(text)) or "bfloat16")
    return found


def test_what_was_asked_for_or_begun_is_not_tried(tmp_path: Path, tried: list[int]) -> None:
    assert chosen_dtype("float16", tmp_path, "m", ()) == "float16"
    (tmp_path / "run.json").write_text(json.dumps({"dtype": "float32"}))
    assert chosen_dtype("auto", tmp_path, "m", ()) == "float32"
    assert chosen_dtype("float16", tmp_path, "m", ()) == "float16"  # the folder then refuses it
    assert tried == []


def test_the_first_document_is_tried(tmp_path: Path, tried: list[int]) -> None:
    model, texts = save_model(tmp_path / "m"), write_texts(tmp_path / "texts", 2, 4 * TRIAL)
    assert chosen_dtype("auto", tmp_path / "out", str(model), [texts]) == "bfloat16"
    assert len(tried) == 1
    assert tried[0] > 3 * TRIAL


def test_without_a_document_it_is_float32(tmp_path: Path, tried: list[int]) -> None:
    model, texts = save_model(tmp_path / "m"), write_texts(tmp_path / "texts", 1, TRIAL // 8)
    assert chosen_dtype("auto", tmp_path / "out", str(model), [texts]) == "float32"
    assert tried == []
