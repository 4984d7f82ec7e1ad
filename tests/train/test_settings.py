"""Settings: a file of tables as values, and what is wrong with a file in one line."""

from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.train.settings import read_settings, settings_of

DATA = {"train": ["a.txt"]}


def test_a_file_says_what_a_run_does(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        '[model]\narchitecture = "qwen3"\nhidden_size = 32\n[design]\nplan = "alibi"\n'
        '[data]\ntrain = ["novels"]\n[training]\nlength = 64\nrate = 1\n'
    )
    found = read_settings(tmp_path / "run.toml")
    assert found.model.architecture == "qwen3"
    assert found.model.config == (("hidden_size", 32),)
    assert found.design.plan == "alibi"
    assert found.data.train == (str(tmp_path / "novels"),)
    assert found.training.rate == 1.0
    assert found.lengths == (64, 128, 256, 512)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, r"table \[data\] is missing"),
        ({"data": {}}, "data.train is missing"),
        ({"data": DATA, "trainin": {}}, "did you mean 'training'"),
        ({"data": DATA, "training": {"step": 3}}, "did you mean 'steps'"),
        ({"data": DATA, "training": {"steps": "3"}}, "training.steps must be int, got '3'"),
        ({"data": DATA, "training": {"steps": True}}, "training.steps must be int, got True"),
        ({"data": DATA, "training": {"steps": 0}}, "training.steps must be at least 1, got 0"),
        ({"data": DATA, "training": {"batch": 3, "accumulate": 2}}, "must divide batch 3"),
        ({"data": DATA, "training": {"average": 2.0}}, "0 … 1"),
        ({"data": DATA, "training": {"rate": -1}}, "above 0"),
        ({"data": DATA, "training": {"schedule": "linear"}}, "'cosine' or 'wsd', got 'linear'"),
        ({"data": {"train": "a.txt"}}, "data.train must be a list"),
        ({"data": DATA, "model": 3}, "model must be a table"),
    ],
)
def test_a_wrong_setting_is_one_line(given: dict, why: str) -> None:
    with pytest.raises(InputError, match=why):
        settings_of(given)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[data")
    with pytest.raises(InputError, match="is no TOML file"):
        read_settings(tmp_path / "bad.toml")
