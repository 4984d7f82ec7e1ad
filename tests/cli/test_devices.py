"""Whole commands on a device that is not the CPU: the numbers are those of the CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from imitated_device import DEVICE, ImitatedDevice

HOLDERS = (
    "longspan.measure.models.model", "longspan.measure.models.source", "longspan.survey.request",
    "longspan.study.request", "longspan.grid.setting",
)  # fmt: skip
"""Modules that take the device that `--device` names."""


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> set[torch.device]:
    """Let `auto` be the imitated device, and collect where models are asked to be."""
    found = set[torch.device]()

    def named(asked: str = "auto", option: str = "--device") -> torch.device:
        found.add(device := DEVICE if asked == "auto" else torch.device("cpu"))
        return device

    for holder in HOLDERS:
        monkeypatch.setattr(f"{holder}.device_named", named)
    return found


def test_a_survey_measures_what_it_does_on_the_cpu(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, elsewhere: set[torch.device]
) -> None:
    command = ["measure", str(model), "--method", "rerope(window=16)", "--text", str(texts), "--docs", "2"]
    command += ["--length", "64", "--length", "256", "--task", "retrieval", "--loss", "last_k", "--loss", "by_position"]
    found = {}
    for device in ("auto", "cpu"):
        with ImitatedDevice():
            outcome = longspan(*command, "--device", device, "--out", str(tmp_path / device))
        assert outcome.code == 0, outcome.err
        found[device] = json.loads((tmp_path / device / "summary.json").read_text())
    assert DEVICE in elsewhere
    for there, here in zip(found["auto"]["losses"], found["cpu"]["losses"], strict=True):
        assert there["failed"] is None
        assert numbers(there["values"]) == pytest.approx(numbers(here["values"]), rel=1e-3)
    assert found["auto"]["tasks"] == found["cpu"]["tasks"]


def test_a_study_judges_as_it_does_on_the_cpu(
    longspan: Any, model: Path, texts: Path, tmp_path: Path, elsewhere: set[torch.device]
) -> None:
    command = ["extend", str(model), "--to", "256", "--text", str(texts), "--budget", "0.0001"]
    command += ["--method", "rerope(window=16)", "--method", "ntk(factor=4)", "--method", "window(64)"]
    found = {}
    for device in ("auto", "cpu"):
        with ImitatedDevice():
            outcome = longspan(*command, "--device", device, "--out", str(tmp_path / device))
        assert outcome.code == 0, outcome.err
        found[device] = [json.loads(line) for line in (tmp_path / device / "results.jsonl").read_text().splitlines()]
    assert DEVICE in elsewhere
    assert len(found["auto"]) == len(found["cpu"]) > 4
    for there, here in zip(found["auto"], found["cpu"], strict=True):
        assert there["arguments"] == here["arguments"]
        assert there["result"] is not None
        assert numbers(there["result"]) == pytest.approx(numbers(here["result"]), rel=1e-3)


def numbers(found: Any) -> list[float]:
    """All numbers of a record but times and places, in order."""
    timed = ("seconds", "tokens_per_second", "peak_bytes")
    if isinstance(found, dict):
        return [number for name, value in found.items() if name not in timed for number in numbers(value)]
    if isinstance(found, list):
        return [number for value in found for number in numbers(value)]
    return [found] if isinstance(found, int | float) else []
