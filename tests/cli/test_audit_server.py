"""`longspan audit MODEL --server`: the verdict for people, JSON for programs, and an exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from audit.blackbox.serving import http
from cli.conftest import Command

MODULE = """
import torch
import longspan
model = longspan.load({folder!r}).eval().float()

def plain(ids):
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return [None, *scores[:-1].gather(1, torch.tensor(ids)[1:, None])[:, 0].tolist()]

def linear(ids):
    with longspan.attached(model, "linear(factor=4)"):
        return plain(ids)
"""


@pytest.fixture
def served(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served_model.py").write_text(MODULE.format(folder=str(model)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "served_model", raising=False)


def test_short_texts_say_what_they_cannot_show(longspan: Command, model: Path, texts: Path, served: None) -> None:
    lengths = ("--length", "40", "--length", "60")
    _, out, _ = longspan("audit", model, "--runs-as", "served_model:plain", "--text", texts, *lengths)
    assert "No text is longer than the trained length of 64 tokens" in out
    _, out, _ = longspan("audit", model, "--runs-as", "served_model:plain", "--text", texts, *lengths, "--json")
    assert json.loads(out)["lengths"] == [40, 60]


def test_a_server_as_asked_passes(longspan: Command, model: Path, texts: Path, served: None) -> None:
    code, out, _ = longspan("audit", model, "--runs-as", "served_model:plain", "--text", texts)
    assert code == 0
    assert out.startswith("The server does what was asked: plain.")


def test_a_server_that_does_something_else_fails(longspan: Command, model: Path, texts: Path, served: None) -> None:
    asked = ("--expect", "yarn(factor=4)", "--json")
    code, out, _ = longspan("audit", model, "--runs-as", "served_model:linear", "--text", texts, *asked)
    assert code == 1
    found: dict[str, Any] = json.loads(out)
    assert found["named"].startswith("linear(factor=4)")
    assert found["as_asked"] is False


def test_a_server_without_log_probabilities_is_one_line(longspan: Command, model: Path, texts: Path) -> None:
    with http(lambda path, body: {"choices": [{}]}) as url:
        code, out, err = longspan("audit", model, "--server", url, "--text", texts)
    assert (code, out) == (2, "")
    assert "gives no log-probabilities" in err


def test_one_of_the_two(longspan: Command, model: Path) -> None:
    code, _, err = longspan("audit", model, "--server", "http://a:1", "--runs-as", "a:b")
    assert code == 2
    assert "either --server or --runs-as" in err
