"""What a grid of trained designs found, as JSON: pages and figures are made of it, without the models."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longspan.train.comparison import Row, is_measured
from longspan.train.grid import Cell
from longspan.train.relations import verdicts


def findings(cells: Sequence[Cell], rows: Sequence[Row], folder: Path, command: str) -> dict[str, Any]:
    """Return what a grid found: what made it, its settings, its designs, its rows and which relations held.

    Arguments:
        cells: all of them.
        rows: of those that were measured.
        folder: of the grid.
        command: what was typed.
    """
    runs = [folder / cell.folder / "run.json" for cell in cells]
    made = [json.loads(path.read_text(encoding="utf-8")) for path in runs if path.exists()]
    settings = cells[0].settings
    return {
        "command": command,
        "hardware": sorted({run["hardware"] for run in made}),
        "versions": [dict(found) for found in sorted({tuple(run["versions"].items()) for run in made})],
        "cells": len(cells),
        "measured": sum(is_measured(cell, folder / cell.folder) for cell in cells),
        "settings": {name: table for name, table in settings.json().items() if name != "design"},
        "lengths": list(settings.lengths),
        "trained_length": settings.training.length if settings.data.task is None else settings.data.longest,
        "designs": {cell.name: asdict(cell.settings.design) for cell in cells},
        "rows": [row.json() for row in rows],
        "relations": [asdict(verdict) for verdict in verdicts(cells, rows)],
    }
