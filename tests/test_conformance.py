"""The table of `make conformance` says what it finds, and finds what is wrong."""

import json

import pytest
import torch

from conformance import __main__ as command
from conformance import family, page
from conformance.family import Row
from conformance.wrong_frame import WrongFrame
from longspan.pretrained import attachment
from pretrained.families import small_model

FEW = ("yarn(factor=2)", "rerope(window=6)", "window(size=8)")


@pytest.fixture(autouse=True)
def _few_methods(monkeypatch):
    monkeypatch.setattr(family, "METHODS", FEW)
    monkeypatch.setattr(page, "METHODS", FEW)


def test_llama_passes_everything():
    found = family.row("llama", small_model("llama", torch.float64))
    assert found.cells == dict.fromkeys(FEW, "pass")
    assert found.positions > 0.2
    assert 0 < found.worst < 1e-5
    assert not found.missing


def test_a_wrong_frame_turns_every_cell_red(monkeypatch):
    monkeypatch.setattr(attachment, "RotaryHook", WrongFrame)
    assert family.row("llama", small_model("llama", torch.float64)).red == list(FEW)


def test_refusals_are_reviewed(monkeypatch):
    model = small_model("cohere2", torch.float64)
    assert family.row("cohere2", model).cells == {
        "yarn(factor=2)": "refused: far layers do not rotate",
        "rerope(window=6)": "refused: far layers do not rotate",
        "window(size=8)": "pass",
    }
    monkeypatch.setattr(family, "reason", lambda message: None)
    assert family.row("cohere2", model).red == ["yarn(factor=2)", "rerope(window=6)"]


def test_a_method_that_changes_nothing_is_red(monkeypatch):
    monkeypatch.setattr(family, "METHODS", ("window(size=1000)",))
    assert family.row("llama", small_model("llama", torch.float64)).cells == {
        "window(size=1000)": "FAIL: changes nothing"
    }


def test_a_model_without_rotation_has_no_cells():
    assert family.row("gpt2", small_model("gpt2", torch.float64)) == Row(rotates=False)


def test_a_row_is_measured_once_and_again_when_the_code_changed(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(command, "_measured", lambda name, wrong: asked.append(name) or Row(positions=1.0).as_json())
    code = {"llama": "a", "phi": "a"}
    monkeypatch.setattr(command, "_code", code.__getitem__)
    for expected in (["llama", "phi"], []):
        assert dict(command._rows(code, tmp_path, False)) == dict.fromkeys(code, Row(positions=1.0))
        assert asked == expected
        asked.clear()
    code["phi"] = "b"
    (tmp_path / "llama.json").write_text(json.dumps({"code": "a", **Row(positions=2.0).as_json()}))
    assert dict(command._rows(code, tmp_path, False)) == {"llama": Row(positions=2.0), "phi": Row(positions=1.0)}
    assert asked == ["phi"]


def test_the_page_counts():
    rows = {
        "llama": Row(positions=1.0, cells=dict.fromkeys(FEW, "pass"), missing={"chunked": 0.5}),
        "cohere2": Row(cells={**dict.fromkeys(FEW, "refused: far layers do not rotate"), "window(size=8)": "pass"}),
        "falcon": Row(cells=dict.fromkeys(FEW, "refused: attention of its own")),
        "gpt2": Row(rotates=False),
    }
    text = page.page(rows)
    assert "3 of them" not in text
    for line in (
        "- 3 model types with rotation were built; 2 of them take methods.",
        "- 1 take all 3 schemes of the table.",
        "- 1 take some: cohere2.",
        "- 1 take none: falcon (1 attention of its own).",
        "- llama: chunked (0.5)",
    ):
        assert line in text.splitlines()
    assert text.rstrip().endswith("gpt2")
