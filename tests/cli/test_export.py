import json
import shlex
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

import longspan
from longspan.cli.main import app
from longspan.errors import InputError, RefusalError, SchemeError
from pretrained.models import TRAINED, logits, tiny_llama, tokens

WORDS = tokens(1, 70)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["export", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return longspan.save(tiny_llama(), tmp_path_factory.mktemp("export") / "model")


@pytest.mark.parametrize(
    ("runtime", "flag", "context"),
    [("vllm", "--hf-overrides", "--max-model-len"), ("sglang", "--json-model-override-args", "--context-length")],
)
def test_vllm_and_sglang_are_told_the_very_frequencies(folder, runtime, flag, context):
    """Their overrides, given to stock transformers, are the extended model."""
    (told,) = [
        each
        for each in json.loads(run(str(folder), "--method", "yarn", "--to", "128", "--json"))
        if each["runtime"] == runtime
    ]
    overrides = json.loads(told["flags"][told["flags"].index(flag) + 1])
    config = AutoConfig.from_pretrained(folder, **overrides)
    stock = AutoModelForCausalLM.from_pretrained(folder, config=config).eval()
    expected = logits(longspan.extend(tiny_llama(), "yarn", length=128), WORDS)
    torch.testing.assert_close(logits(stock, WORDS), expected, rtol=0, atol=2e-5)
    assert told["flags"][-2:] == [context, "128"]
    assert overrides["max_position_embeddings"] == 128


def test_sglang_is_told_the_length_of_the_models_own_rotation(folder):
    """It refuses more tokens than the config says."""
    line = run(str(folder), "--method", "rope", "--to", "128").splitlines()[2]
    assert line == """sglang: --json-model-override-args '{"max_position_embeddings": 128}' --context-length 128"""


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        ("linear(factor=4)", "-c 128 --rope-scaling linear --rope-scale 4"),
        ("rope(theta=1e6)", "-c 32 --rope-freq-base 1000000"),
        # b · s^(d / (d − 2)), kexue.fm/archives/9675, d = 16 and s = 4
        ("ntk(factor=4, variant=aware)", f"-c 128 --rope-freq-base {1e4 * 4 ** (16 / 14):.9g}"),
        (
            "yarn(factor=4)",
            f"-c 128 --rope-scaling yarn --rope-scale 4 --yarn-orig-ctx {TRAINED} "
            "--yarn-beta-fast 32 --yarn-beta-slow 1",
        ),
    ],
)
def test_llama_cpp_is_told(folder, method, flags):
    line = run(str(folder), "--method", method).splitlines()[1]
    assert shlex.split(line.removeprefix("llama.cpp: ")) == shlex.split(flags)


@pytest.mark.parametrize(
    ("method", "to", "noted"),
    [
        ("linear(factor=4)", 128, True),
        ("ntk(factor=4)", 128, True),
        ("yarn(factor=4)", 128, False),
        ("rope", 32, False),
    ],
)
def test_the_limit_of_llama_cpps_server_is_said(folder, method, to, noted):
    """Its server reads what the file promises, whatever -c says, but for YaRN."""
    result = CliRunner().invoke(app, ["export", str(folder), "--method", method, "--to", str(to)])
    assert result.exit_code == 0
    assert ("note: llama-server reads at most 32 tokens" in result.stderr) is noted
    found = json.loads(run(str(folder), "--method", method, "--to", str(to), "--json"))
    assert [bool(each["note"]) for each in found] == [False, noted, False]


@pytest.mark.parametrize("method", ["rerope(8)", "window(8)", "log_length", "dynamic_ntk"])
def test_what_no_flag_can_say_is_said(folder, method):
    for line in run(str(folder), "--method", method, "--to", "128").splitlines():
        assert "not expressible" in line
        assert line.endswith("nearest: --method 'yarn(factor=4)'")


def test_the_saved_extension_is_told(tmp_path):
    folder = longspan.save(longspan.extend(tiny_llama(), "linear(factor=2)"), tmp_path / "model")
    assert "--rope-scaling linear --rope-scale 2" in run(str(folder))


def test_the_bundled_model_is_known_by_its_name():
    assert "-c 2048 --rope-scaling linear --rope-scale 4" in run("bundled", "--method", "linear", "--to", "2048")


def test_without_an_extension_one_must_be_named(folder):
    with pytest.raises(SchemeError, match="name one with --method"):
        run(str(folder))


def test_a_model_that_is_not_there_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("longspan.pretrained.storing.checkpoint.get_hf_file_metadata", lambda url: pytest.fail(url))
    for name in ("./nowhere", "a/b/c", "nowhere.gguf"):
        with pytest.raises(RefusalError, match=f"there is no f.* {name}"):
            run(name, "--method", "yarn")


@pytest.mark.parametrize("rope", [{"rope_theta": [0]}, {"partial_rotary_factor": "x"}, {"partial_rotary_factor": [2]}])
def test_a_config_without_sense_is_one_line(folder, tmp_path, rope):
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] |= rope
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RefusalError, match=r"rope_theta of|cannot be used|cannot read the config") as raised:
        run(str(tmp_path), "--method", "yarn", "--to", "128")
    assert "\n" not in str(raised.value)


STUDY = Path(__file__).parents[2] / "experiments" / "results" / "extend-bundled-4096"


def study_folder(folder, **changes):
    """The folder of a study whose model is there."""
    found = json.loads((STUDY / "summary.json").read_text())
    found["setting"]["model"] = "bundled"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(found | changes))
    return folder


def verdict(exportable):
    none = {"advice": "method", "obstacle": None, "chosen_by": None, "ties": [], "undecided": []}
    return none | {"exportable": exportable}


def test_the_results_of_a_study_are_exported(tmp_path):
    """The best measured method that runtimes can express, at the length of the study; else the winner."""
    runner = CliRunner()
    folder = study_folder(tmp_path / "a", winner="rerope(window=128)", verdict=verdict("linear(factor=8.0)"))
    result = runner.invoke(app, ["export", str(folder)], catch_exceptions=False)
    assert "llama.cpp: -c 4096 --rope-scaling linear --rope-scale 8" in result.stdout
    assert "vllm: --hf-overrides" in result.stdout
    assert "the winner, rerope(window=128), needs longspan" in result.stderr
    folder = study_folder(tmp_path / "b", winner="rerope(window=128)", verdict=verdict(None))
    result = runner.invoke(app, ["export", str(folder)], catch_exceptions=False)
    assert result.stdout.count("not expressible: rerope changes distances") == 3
    result = runner.invoke(app, ["export", str(folder), "--method", "linear", "--to", "2k"], catch_exceptions=False)
    assert "-c 2048 --rope-scaling linear --rope-scale 4" in result.stdout


def test_a_study_without_a_winner_names_none(tmp_path):
    folder = study_folder(tmp_path / "a", winner=None, verdict=verdict(None))
    with pytest.raises(InputError, match="recommends no method"):
        run(str(folder))


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"setting": {}}'])
def test_a_summary_of_something_else_is_one_line(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError, match="no summary of 'longspan extend'") as raised:
        run(str(tmp_path))
    assert "\n" not in str(raised.value)
