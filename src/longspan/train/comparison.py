"""What a grid says: for each design and method the losses and accuracies of every seed, and whether the model learned.

Accuracies are Su's triple (kexue.fm/archives/9603): at the trained length, on a text of the longest length that
repeats, and on one that does not. A model counts as trained where its loss at the trained length is below its loss at a
quarter of it, by a 95 % interval over documents.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longspan.measure.interval import Estimate, mean, paired
from longspan.measure.model import PLAIN
from longspan.train.grid import Cell

TRIPLE = ("short", "repeated", "not_repeated")


@dataclass(frozen=True)
class Outcome:
    """One method on the model of one cell.

    Arguments:
        seed: of the cell.
        loss: of the last tokens by length, nats; a mean over documents.
        accuracy: Su's triple by name, shares of tokens.
        learned: whether the model counts as trained.
        failed: why there are no numbers; None where there are.
    """

    seed: int
    loss: dict[int, float]
    accuracy: dict[str, float]
    learned: bool
    failed: str | None = None


@dataclass(frozen=True)
class Row:
    """One design under one method.

    Arguments:
        design, method: by name.
        outcomes: one for each seed that was measured.
    """

    design: str
    method: str
    outcomes: tuple[Outcome, ...]

    @property
    def learned(self) -> bool:
        """Whether the models of all seeds count as trained."""
        return all(outcome.learned for outcome in self.outcomes)

    def loss(self, length: int) -> Estimate | None:
        """The loss at a length with its interval over seeds; None where a seed has none."""
        return _over_seeds([outcome.loss.get(length) for outcome in self.outcomes])

    def accuracy(self, name: str) -> Estimate | None:
        """One of Su's triple with its interval over seeds."""
        return _over_seeds([outcome.accuracy.get(name) for outcome in self.outcomes])

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def compare(cells: Iterable[Cell], folder: Path) -> tuple[Row, ...]:
    """Read the measurements of the cells that were measured, design by design.

    Arguments:
        folder: of the grid.
    """
    found: dict[tuple[str, str], list[Outcome]] = {}
    for cell in cells:
        records = _records(folder / cell.folder / "measured" / "results.jsonl")
        for method in dict.fromkeys(record["arguments"]["method"] for record in records):
            own = [record for record in records if record["arguments"]["method"] == method]
            found.setdefault((cell.name, method), []).append(_outcome(cell, own, _learned(cell, records)))
    return tuple(Row(design, method, tuple(outcomes)) for (design, method), outcomes in found.items())


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


def _outcome(cell: Cell, records: Sequence[dict[str, Any]], learned: bool) -> Outcome:
    failed = next((record["failed"] for record in records if record["result"] is None), None)
    if failed is not None:
        return Outcome(cell.seed, {}, {}, learned, failed)
    lengths = cell.settings.lengths
    loss = {n: mean(_values(records, "last_k", n)).value for n in lengths if _values(records, "last_k", n)}
    triples = [record["result"] for record in records if _is(record, "repetition", lengths[-1])]
    accuracy = {name: mean([each[name]["all"] for each in triples]).value for name in TRIPLE} if triples else {}
    return Outcome(cell.seed, loss, accuracy, learned)


def _learned(cell: Cell, records: Sequence[dict[str, Any]]) -> bool:
    """Whether the plain model of a cell predicts better with L tokens than with a quarter of them."""
    length = cell.settings.training.length
    own = [record for record in records if record["arguments"]["method"] == PLAIN and record["result"] is not None]
    full, short = (_values(own, "last_k", n) for n in (length, length // 4))
    return len(full) == len(short) > 1 and paired(full, short).below_zero


def _values(records: Iterable[dict[str, Any]], loss: str, length: int) -> list[float]:
    """The values of a loss at a length, in the order of the documents."""
    found = {r["arguments"]["index"]: r["result"]["value"] for r in records if _is(r, loss, length)}
    return [found[index] for index in sorted(found)]


def _is(record: dict[str, Any], loss: str, length: int) -> bool:
    asked = record["arguments"]
    return asked.get("loss") == loss and asked["length"] == length and record["result"] is not None


def _over_seeds(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None
