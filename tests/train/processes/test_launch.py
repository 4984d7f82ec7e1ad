"""A grid under torchrun: all processes make each cell together, and write what one process writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.train.processes.launch import joined_for
from longspan.train.settings import settings_of
from small_runs import MODEL, texts
from training_processes import known, train_together

CELLS = ("rope-seed-0", "alibi-seed-0")
STEPS = 3
BOUND = 2e-6
"""As for a single run (`test_together.py`)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grids by one process, by two, and by two that are killed in the second cell and start again."""
    folder = tmp_path_factory.mktemp("grids")
    texts(folder / "texts")
    (folder / "held.txt").write_text("zyxwvutsrqponmlkjihgfedcba" * 6)
    numbers = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    (folder / "grid.toml").write_text(
        f"[model]\n{numbers}\n[data]\ntrain = ['texts']\ntest = ['held.txt']\n"
        f"[training]\nlength = 32\nsteps = {STEPS}\nbatch = 4\nobjective = 'masked'\nsave_every = 1\n"
        "[test]\nlengths = [64]\ndocs = 2\n[grid.designs.rope]\nplan = 'rope + bidirectional'\n"
        "[grid.designs.alibi]\nplan = 'alibi + bidirectional'\n"
    )
    jobs: list[dict[str, Any]] = [
        {"ranks": 1, "folder": str(folder / "one")},
        {"ranks": 2, "folder": str(folder / "two")},
        {"ranks": 2, "folder": str(folder / "killed"), "dies": [1, STEPS + 2]},
        {"ranks": 2, "folder": str(folder / "killed")},
    ]
    train_together([{"grid": str(folder / "grid.toml"), **job} for job in jobs], folder)
    return folder


def losses(folder: Path) -> list[list[float]]:
    lines = [(folder / cell / "log.jsonl").read_text().splitlines() for cell in CELLS]
    return [[json.loads(line)["loss"] for line in each] for each in lines]


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [(folder / cell / "measured" / "results.jsonl").read_text().splitlines() for cell in CELLS]
    return [json.loads(line) for each in lines for line in each]


def test_two_processes_write_the_records_of_one(folder: Path) -> None:
    assert [each["steps"] for each in known(folder / "two", 2)] == [2 * STEPS] * 2
    assert losses(folder / "two") == [pytest.approx(each, rel=BOUND) for each in losses(folder / "one")]
    found, wanted = records(folder / "two"), records(folder / "one")
    assert [each["arguments"] for each in found] == [each["arguments"] for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one["result"]["all"]["loss"] == pytest.approx(other["result"]["all"]["loss"], rel=1e-4)
    assert (folder / "two" / "table.md").exists()


def test_a_grid_whose_process_was_killed_goes_on(folder: Path) -> None:
    """What was finished stays, and the cell that was not goes on from its last state, to the bit."""
    made = {each["steps"] for each in known(folder / "killed", 2)}
    assert made in ({1}, {2})  # of the second cell alone, from the last state that was whole
    assert losses(folder / "killed") == losses(folder / "two")
    assert [each["result"] for each in records(folder / "killed")] == [
        each["result"] for each in records(folder / "two")
    ]


def test_cells_that_the_processes_do_not_fit_are_refused_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    cells = [settings_of({"data": {"task": "copy"}, "training": {"batch": batch}}) for batch in (6, 8)]
    with pytest.raises(InputError, match="must be a multiple of 3"), joined_for(cells):
        pass
