"""`longspan audit`: tables for people, JSON for programs, and an exit code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Command


def edited(model: Path, folder: Path, **changes: Any) -> Path:
    """The config of a model with changes; an audit needs no weights."""
    folder.mkdir(exist_ok=True)
    shutil.copy(model / "config.json", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def test_a_sound_model_passes(longspan: Command, model: Path) -> None:
    code, out, err = longspan("audit", model)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "no mistake found"
    assert "assumed: trained on 64 tokens (max_position_embeddings)" in out
    for part in ("full_attention", "MQA", "2 / 1", "rope_parameters.rope_theta", "has effect", "tokens on"):
        assert part in out


def test_a_mistake_is_one_line_and_exit_code_1(longspan: Command, model: Path, tmp_path: Path) -> None:
    folder = edited(model, tmp_path / "edited", rope_scaling={"rope_type": "yarn", "factor": 4.0})
    code, out, _ = longspan("audit", folder)
    assert code == 1
    (line,) = (line for line in out.splitlines() if line.startswith("failure (original_length)"))
    assert "rope_scaling.original_max_position_embeddings: it is missing" in line


def test_json_is_the_same_and_has_the_same_exit_code(longspan: Command, model: Path, tmp_path: Path) -> None:
    folder = edited(model, tmp_path / "edited", rope_scaling={"rope_type": "dynamic", "factor": 4.0})
    code, out, _ = longspan("audit", folder, "--to", "256", "--json")
    found = json.loads(out)
    assert (code, found["failed"], found["length"]) == (1, True, 256)
    assert {"check", "severity", "where", "what", "given", "do"} == set(found["findings"][0])
    assert "changing" in [finding["check"] for finding in found["findings"]]


def test_what_transformers_cannot_build_is_a_mistake_and_no_error(
    longspan: Command, model: Path, tmp_path: Path
) -> None:
    folder = edited(model, tmp_path / "edited", rope_scaling={"rope_type": "sideways", "factor": 4.0})
    code, out, err = longspan("audit", folder)
    assert (code, err) == (1, "")
    assert "failure (builds): rope_scaling.rope_type" in out


@pytest.mark.parametrize("to", ["0", "-3", str(10**12)])
def test_a_length_out_of_range_is_one_line(longspan: Command, model: Path, to: str) -> None:
    code, out, err = longspan("audit", model, f"--to={to}")
    assert (code, out) == (2, "")
    assert err.startswith("longspan: ")
    assert "--to" in err
    assert "must be 1" in err
    assert len(err.splitlines()) == 1


def test_what_is_no_checkpoint_is_one_line(longspan: Command, tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.gguf"):
        code, out, err = longspan("audit", name)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1


def test_names_that_act_on_a_terminal_are_printed_literally(longspan: Command, model: Path, tmp_path: Path) -> None:
    folder = edited(model, tmp_path / "edited", **{"sliding_window\x1b[2J": "[red]\x1b[2J"})
    code, out, _ = longspan("audit", folder)
    assert code == 1  # a misspelt field
    assert "\x1b" not in out
    assert r"sliding_window\x1b[2J" in out
