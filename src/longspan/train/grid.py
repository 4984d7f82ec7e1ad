"""A grid of runs: several designs with several seeds, all else equal; each cell is a run in a folder of its own.

    [grid]
    seeds = [0, 1, 2]

    [grid.designs.alibi]
    plan = "alibi"

    [grid.designs.baseline]
    plan = "rope"
    methods = ["ntk", "rerope(window=256) + log_length"]      # at test, beside the design itself

    [grid.designs.gau]
    plan = "gau(feed_forward=False)"
    model = { num_hidden_layers = 8 }                         # where this design differs from [model]

The other tables are those of one run. Seeds decide weights and rows, so that designs of one seed read the same tokens.
"""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from longspan.errors import InputError, shown
from longspan.train.settings import ModelTable, Settings, check_names, checked, model_of, settings_of

SHARES = (4, 1)
"""Every cell is measured at L / 4 and L too: a model whose loss at L is not below that at L / 4 has not learned."""


NAMES = ("plan", "absolute", "positions", "positions_at_test", "methods", "model")
"""What a design of a grid may say."""
LEAST = 32
"""Tokens of training for which a quarter can be measured."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Arguments:
        name: of the design.
        seed: of weights and rows.
        settings: of the run.
    """

    name: str
    seed: int
    settings: Settings

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{''.join(c if c.isalnum() or c in '-_.' else '-' for c in self.name)}-seed-{self.seed}"


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Yield whether this process may work in a cell's folder; another one that does keeps it until it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    with lock:
        lock.release()
        yield True


def read_grid(path: Path) -> tuple[Cell, ...]:
    """Read the cells of a TOML file, seed by seed; none where it has no table [grid].

    Errors: InputError, as for `read_settings`, and for a grid without designs, or with two designs of one folder.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    grid = given.pop("grid", None)
    if grid is None:
        return ()
    if not isinstance(grid, dict):
        raise InputError(f"grid must be a table, written as [grid], got {shown(grid)}")
    check_names(grid, ("designs", "seeds"), "setting of [grid]")
    base = settings_of(given, path.parent)
    seeds = checked(grid.get("seeds", [base.training.seed]), tuple[int, ...], "grid.seeds")
    designs = grid.get("designs", {})
    if not designs or not seeds:
        raise InputError(f"{path}: a grid needs a design and a seed: write [grid.designs.NAME] with plan = '...'")
    cells = tuple(cell for seed in seeds for cell in _cells(base, designs, seed))
    folders = [cell.folder for cell in cells]
    if twice := sorted({folder for folder in folders if folders.count(folder) > 1}):
        raise InputError(f"{path}: two cells of the grid would share the folder {twice[0]}: give them other names")
    return cells


def _cells(base: Settings, designs: dict[str, Any], seed: int) -> Iterator[Cell]:
    length = base.training.length
    if base.data.task is not None:
        lengths = tuple(sorted({*base.lengths, base.data.longest}))
    elif length < LEAST:
        raise InputError(f"a grid measures a quarter of training.length too: give at least {LEAST}, got {length}")
    else:
        lengths = tuple(sorted({*base.lengths, *(length // share for share in SHARES)}))
    for name, own in designs.items():
        if not isinstance(own, dict):
            raise InputError(f"grid.designs.{name} must be a table, got {shown(own)}")
        check_names(own, NAMES, f"setting of [grid.designs.{name}]")
        where = f"grid.designs.{name}"
        plan = checked(own.get("plan", base.design.plan), str, f"{where}.plan")
        absolute = checked(own.get("absolute", base.design.absolute), str | None, f"{where}.absolute")
        positions = checked(own.get("positions", base.design.positions), str, f"{where}.positions")
        at_test = checked(own.get("positions_at_test", base.test.positions), str, f"{where}.positions_at_test")
        methods = checked(own.get("methods", list(base.test.methods)), tuple[str, ...], f"{where}.methods")
        settings = replace(
            base,
            model=_model(base.model, own.get("model", {}), f"{where}.model"),
            design=replace(base.design, plan=plan, absolute=absolute, positions=positions),
            training=replace(base.training, seed=seed),
            test=replace(base.test, methods=methods, lengths=lengths, positions=at_test),
        )
        yield Cell(name, seed, settings)


def _model(base: ModelTable, own: object, where: str) -> ModelTable:
    """The table [model] with what a design has of its own."""
    if not isinstance(own, dict):
        raise InputError(f"{where} must be a table, got {shown(own)}")
    return model_of({"architecture": base.architecture, "linear": base.linear, **dict(base.config), **own})
