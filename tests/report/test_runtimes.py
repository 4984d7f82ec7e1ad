"""The lines on the page are those of `longspan export`."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from longspan.cli.main import app
from longspan.report.page import page
from longspan.report.runtimes import lines
from longspan.study.summary import Summary
from report.summaries import decided


def test_the_flags_are_those_of_export() -> None:
    """For the winner and for the best exportable method, on the model that was studied."""
    found = lines(Summary.of(decided()))
    assert list(found) == ["rerope(window=256)", "yarn(factor=8.0)"]
    for method, typed in found.items():
        result = CliRunner().invoke(app, ["export", "bundled", "--method", method, "--to", "4096", "--json"])
        assert result.exit_code == 0
        for line, flags in zip(typed, json.loads(result.stdout), strict=True):
            assert line.runtime.lower() == flags["runtime"]
            assert line.reason == flags["reason"]
            start = len(flags["flags"]) and len(shlex.split(line.command)) - len(flags["flags"])
            assert shlex.split(line.command)[start:] == flags["flags"]
    assert [line.command for line in found["rerope(window=256)"]] == ["", "", ""]
    vllm, llama, sglang = (line.command for line in found["yarn(factor=8.0)"])
    assert sglang.startswith("python -m sglang.launch_server --model-path MODEL --json-model-override-args ")
    assert sglang.endswith(" --context-length 4096")
    assert vllm.startswith("vllm serve MODEL --hf-overrides ")
    assert llama.startswith("llama-server -m MODEL.gguf -c 4096 --rope-scaling yarn ")


def test_the_page_offers_them_with_what_was_measured() -> None:
    summary = Summary.of(decided())
    html = page(summary, lines(summary))
    assert "the best method that they can express" in html
    assert "Measured: it finds 40 % [38, 42] of the facts" in html
    assert "llama-server -m MODEL.gguf" in html
    assert "llama.cpp: not possible. rerope changes distances" in html


@pytest.mark.parametrize("model", ["no-such-folder/at-all", "/nowhere/model.gguf"])
def test_a_model_that_is_gone_has_no_lines(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = decided()
    found["setting"]["model"] = model
    assert lines(Summary.of(found)) == {}
