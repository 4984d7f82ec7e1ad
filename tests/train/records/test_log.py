"""The log of a run: lines, curves for TensorBoard, and what a kill leaves of them."""

import json
from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.train.records.log import LOG, Step, cut_log, open_logs
from longspan.train.run import Run
from small_runs import settings


def test_curves_are_the_lines_and_go_on_after_a_kill(tmp_path: Path) -> None:
    """Read by TensorBoard itself: points of steps that a kill cost are made again, and are there once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    wanted = settings(tmp_path, log_tensorboard=True)
    steps = Run(wanted, tmp_path / "run").train()
    for _ in range(6):
        next(steps)
    steps.close()
    for _ in Run(wanted, tmp_path / "run").train():
        pass
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    for name in ("loss", "norm", "rate"):
        points = found.Scalars(f"train/{name}")
        assert [point.step for point in points] == list(range(1, 13))
        assert [point.value for point in points] == pytest.approx([line[name] for line in lines])


def test_curves_without_tensorboard_are_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longspan.train.records.log.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'longspan\[tensorboard\]'"):
        Run(settings(tmp_path, log_tensorboard=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_line_that_a_kill_cut_off_and_later_steps_are_removed(tmp_path: Path) -> None:
    with open_logs(tmp_path, 0, tensorboard=False) as (log,):
        for number in range(1, 4):
            log.write(Step(number, 1.0, 1.0, 0.1, 0.01))
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 4, "lo')
    cut_log(tmp_path, 2)
    assert [json.loads(line)["step"] for line in (tmp_path / LOG).read_text().splitlines()] == [1, 2]
