"""Whether a model counts as trained: how often the test says so where context truly helps, and where it does not.

And what a table says after [test] changed: what it would say had the folder been measured for the first time.
"""

import json
import shutil
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from longspan.cli.main import app
from longspan.train.comparison import context_gain
from small_runs import MODEL

DOCUMENTS, DRAWS = 16, 1500
HARDNESS, SPREAD = 0.3, 0.02
"""Nats: by how much documents differ from each other, and what context gives to each of them from its mean."""


def share_of_trained(gain: float) -> float:
    """The share of grids whose model counts as trained: its loss with L tokens is lower by `gain` on the mean."""
    draw = np.random.default_rng(0)
    found = 0
    for _ in range(DRAWS):
        quarter = draw.normal(3.0, HARDNESS, DOCUMENTS)
        full = quarter - draw.normal(gain, SPREAD, DOCUMENTS)
        estimate = context_gain(full.tolist(), quarter.tolist())
        assert estimate is not None
        found += estimate.below_zero
    return found / DRAWS


@pytest.mark.parametrize("gain", [0.0, 0.01, 0.02])
def test_it_finds_what_a_one_sided_t_test_finds(gain: float) -> None:
    """The closed form: Student's t with as many degrees of freedom, off center by gain / (spread / √documents)."""
    degrees, center = DOCUMENTS - 1, gain / (SPREAD / sqrt(DOCUMENTS))
    wanted = float(stats.nct.sf(stats.t.ppf(0.95, degrees), degrees, center)) if gain else 0.05
    assert abs(share_of_trained(gain) - wanted) < 4 * sqrt(wanted * (1 - wanted) / DRAWS)
    assert (wanted > 0.95) == (gain == 0.02)  # 0.02 nats are hardly ever missed


def test_documents_cancel() -> None:
    """What makes a document hard is in both of its losses: however much it is, the difference stays."""
    quarter = np.random.default_rng(1).normal(3.0, 1.0, DOCUMENTS)
    gains = np.random.default_rng(2).normal(0.02, SPREAD, DOCUMENTS)
    found, alone = context_gain(list(quarter - gains), list(quarter)), context_gain(list(-gains), [0.0] * DOCUMENTS)
    assert found is not None
    assert alone is not None
    assert (found.value, found.high) == pytest.approx((alone.value, alone.high))


def test_documents_that_were_not_read_at_both_lengths_say_nothing() -> None:
    assert context_gain([1.0, 2.0], [1.0]) is None
    assert context_gain([1.0], [2.0]) is None


Grid = Callable[[Path, dict[str, Any]], list[dict[str, Any]]]
"""Measures a trained cell in a folder by a table [test], and returns the rows of the grid."""


def rows_of(folder: Path, name: str, data: str) -> Grid:
    """A grid of one design with a table of 128 positions, so that longer tests fail."""
    numbers = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    head = f"[model]\n{numbers}\n[data]\n{data}\n[training]\nlength = 32\nsteps = 2\nbatch = 2\ndevice = 'cpu'\n"
    design = "[grid.designs.one]\nplan = 'rope'\nabsolute = 'learned(length=128)'\n"

    def rows(out: Path, test: dict[str, Any]) -> list[dict[str, Any]]:
        file = folder / f"{name}.toml"
        table = "".join(f"{name} = {value!r}\n" for name, value in test.items())
        file.write_text(f"{head}[test]\n{table}{design}")
        found = CliRunner().invoke(app, ["train", str(file), "--out", str(out), "--json"], catch_exceptions=False)
        assert found.exit_code == 0
        return json.loads((out / "grid.json").read_text())["rows"]

    return rows


LETTERS = "".join(chr(97 + (i * i * 7 + i // 5) % 26) for i in range(1000))


def of_texts(folder: Path) -> Grid:
    """Some of the texts have 40 tokens only: longer tests are measured on others."""
    for number, (start, stop) in enumerate([(0, 600), (600, 640), (640, 940), (940, 980), (960, 1000)]):
        (folder / "held").mkdir(exist_ok=True)
        (folder / "held" / f"{number}.txt").write_text(LETTERS[start:stop])
    (folder / "train.txt").write_text("the quick brown fox jumps over the lazy dog " * 20)
    return rows_of(folder, "texts", "train = ['train.txt']\ntest = ['held']")


def of_a_task(folder: Path) -> Grid:
    return rows_of(folder, "task", "task = 'reverse'\ntokenizer = 'symbols'\nlongest = 10")


LENGTHS = {"texts": ([32], [32, 64], [32, 120], [200]), "task": ([10], [10, 30], [5, 200])}
METHODS = st.lists(st.sampled_from(["ntk", "window(8)", "rerope(window=8)"]), unique=True, max_size=1)


@pytest.mark.parametrize("kind", ["texts", "task"])
def test_a_folder_that_was_measured_otherwise_before_says_what_a_fresh_one_says(kind: str, tmp_path: Path) -> None:
    """Whatever lengths, documents and methods [test] had before, and whether a length failed."""
    rows = {"texts": of_texts, "task": of_a_task}[kind](tmp_path)
    old, fresh = tmp_path / "old", dict[str, Any]()
    rows(old, {"docs": 1})  # trained once

    def said_by_a_fresh_folder(test: dict[str, Any]) -> list[dict[str, Any]]:
        name = json.dumps(test)
        if name not in fresh:
            surveys = shutil.ignore_patterns("measured", "context")
            shutil.copytree(old, tmp_path / "fresh", ignore=surveys)
            fresh[name] = rows(tmp_path / "fresh", test)
            shutil.rmtree(tmp_path / "fresh")
        return fresh[name]

    tables = st.fixed_dictionaries(
        {"lengths": st.sampled_from(LENGTHS[kind]), "docs": st.integers(1, 3), "methods": METHODS}
    )

    @settings(max_examples=5)
    @given(tables)
    def check(test: dict[str, Any]) -> None:
        assert rows(old, test) == said_by_a_fresh_folder(test)

    check()
