"""The grids of experiments/designs: every design is a model, every method at test means something on it."""

from pathlib import Path

import pytest

from longspan.pretrained.attach import attached
from longspan.train.data.tokenizers import byte_tokenizer
from longspan.train.grid import Cell, read_grid
from longspan.train.model import untrained

FOLDER = Path(__file__).parents[2] / "experiments" / "designs"
TASKS = {
    "lengths": ("reverse", "copy", "addition", "parity", "sort", "bucket_sort", "even_pairs"),
    "dependence": ("first_token", "occurs(first=16)"),
}
FILES = [(path.stem, task) for path in sorted(FOLDER.glob("*.toml")) for task in TASKS.get(path.stem, ("",))]


def grid(name: str, task: str, folder: Path) -> tuple[Cell, ...]:
    """The cells of a file, with a task in its place."""
    path = folder / f"{name}.toml"
    path.write_text((FOLDER / f"{name}.toml").read_text(encoding="utf-8").replace("TASK", task), encoding="utf-8")
    return read_grid(path)


@pytest.mark.parametrize(("name", "task"), FILES)
def test_every_design_is_a_model_and_takes_its_methods(name: str, task: str, tmp_path: Path) -> None:
    cells = grid(name, task, tmp_path)
    seeds = {cell.seed for cell in cells}
    assert len(seeds) == (1 if name == "zoo" else 3)
    if task != TASKS.get(name, ("",))[0]:
        return  # the designs are those of the first task
    for cell in cells:
        if cell.seed:
            continue
        model = untrained(cell.settings, byte_tokenizer())
        for method in cell.settings.test.methods:
            with attached(model, method, length=max(cell.settings.lengths)):
                pass
