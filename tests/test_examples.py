"""The notebooks in examples/ run, and print what they show.

To write the outputs anew: `PYTHONWARNINGS="ignore:IProgress not found" jupyter execute --inplace examples/NAME.ipynb`.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NUMBER = re.compile(r"[+-]?\d+\.\d+")
SPREAD = 0.02
"""By how much a rounded number may differ on another processor."""


def printed(notebook: Any) -> list[str]:
    """The text that each cell of code prints."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_prints_what_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm misses ipywidgets
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    notebook: Any = nbformat.read(path, as_version=4)
    shown = printed(notebook)
    streams = {output.get("name") for cell in notebook.cells for output in cell.get("outputs", ())}
    assert streams == {"stdout"}
    assert all(text for number, text in enumerate(shown) if number != 1)
    place = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place)
    client.execute()
    found = printed(notebook)
    assert [NUMBER.sub("#", text) for text in found] == [NUMBER.sub("#", text) for text in shown]
    for one, other in zip(found, shown, strict=True):
        for number, expected in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            assert abs(float(number) - float(expected)) <= SPREAD
