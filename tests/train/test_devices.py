"""Training on a device that is not the CPU: the same losses, few waits, and states that may change their device."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from imitated_device import DEVICE, ImitatedDevice
from longspan.errors import InputError
from longspan.train.exams.exam import read_records
from longspan.train.run import Run
from longspan.train.settings import Settings, settings_of
from small_runs import MODEL, settings


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings name the imitated device."""

    def named(asked: str, option: str) -> torch.device:
        assert option == "training.device"
        return DEVICE if asked == "auto" else torch.device("cpu")

    for module in ("longspan.train.processes.launch", "longspan.train.exams.exam"):
        monkeypatch.setattr(f"{module}.device_named", named)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def finish(wanted: Settings, folder: Path) -> list[int]:
    """Train on the imitated device; how often each step waited."""
    waits = []
    with ImitatedDevice() as device:
        run = Run(wanted, folder)
        assert all(parameter.device == DEVICE for parameter in run.model.parameters())
        device.waits.clear()
        for step in run.train():
            if step.step % wanted.training.save_every != 0 and step.step != wanted.training.steps:
                waits.append(device.waits.total())
            device.waits.clear()
    return waits


CASES: dict[str, dict[str, Any]] = {
    "rope": {"plan": "rope", "accumulate": 2, "average": 0.9},
    "kerple": {"plan": "kerple_log", "save_every": 5},
    "muon": {"plan": "rope", "optimizer": "muon", "checkpointing": True},
    "sampled": {"plan": "nope", "design_absolute": "sinusoidal", "design_positions": "random(span=64)"},
}
COUNTED = ("rope", "muon")
"""Those whose attention is one call of PyTorch. Blocks, which compute the others here, wait by themselves."""


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", CASES)
def test_losses_are_those_of_the_cpu_and_a_step_waits_for_little(tmp_path: Path, name: str) -> None:
    """Once for loss and norm together, and once per pass, where transformers asks whether documents are packed."""
    waits = finish(settings(tmp_path, **CASES[name]), tmp_path / "there")
    wanted = settings(tmp_path, device="cpu", **CASES[name])
    for _ in Run(wanted, tmp_path / "here").train():
        pass
    assert losses(tmp_path / "there") == pytest.approx(losses(tmp_path / "here"), rel=1e-4)
    if name in COUNTED:
        assert set(waits) == {1 + wanted.training.accumulate}


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("first", ["auto", "cpu"])
def test_a_run_goes_on_on_another_device(tmp_path: Path, first: str) -> None:
    """The state names no device: weights, their average and what optimizers keep come to the one that there is."""
    given = {"plan": "kerple_log", "average": 0.9, "optimizer": "muon"}
    second = "cpu" if first == "auto" else "auto"
    with ImitatedDevice():
        steps = Run(settings(tmp_path, device=first, **given), tmp_path / "moved").train()
        for _ in range(6):
            next(steps)
        steps.close()
        resumed = Run(settings(tmp_path, device=second, **given), tmp_path / "moved")
        assert resumed.step == 4
        for _ in resumed.train():
            pass
    for _ in Run(settings(tmp_path, device="cpu", **given), tmp_path / "here").train():
        pass
    assert losses(tmp_path / "moved") == pytest.approx(losses(tmp_path / "here"), rel=1e-3)  # Muon rounds to bfloat16


@pytest.mark.usefixtures("elsewhere")
def test_a_task_is_trained_and_examined_there(tmp_path: Path) -> None:
    found = {}
    for device in ("auto", "cpu"):
        wanted = settings_of({
            "model": MODEL,
            "data": {"task": "copy", "tokenizer": "symbols", "longest": 4},
            "training": {"length": 32, "steps": 3, "batch": 2, "device": device},
            "test": {"lengths": [4, 6], "docs": 2, "methods": ["ntk(factor=2)"]},
        })  # fmt: skip
        with ImitatedDevice():
            run = Run(wanted, tmp_path / device)
            for _ in run.train():
                pass
            assert run.exam is not None
            for _ in run.exam.take(run.folder / "model", run.folder / "measured"):
                pass
        found[device] = read_records(run.folder / "measured" / "results.jsonl")
    assert len(found["auto"]) == 8
    for there, here in zip(found["auto"], found["cpu"], strict=True):
        assert there["arguments"] == here["arguments"]
        assert there["failed"] is None
        assert there["result"]["all"]["loss"] == pytest.approx(here["result"]["all"]["loss"], rel=1e-4)


def test_a_device_that_is_not_there_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.device must be auto, cpu, .* got 'gpu'"):
        Run(settings(tmp_path, device="gpu"), tmp_path / "run")
