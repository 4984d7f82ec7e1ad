"""Numbers of trained grids, for the sentences of an experiment's notes, which are Jinja2 templates."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from jinja2 import Environment, StrictUndefined

from longspan.train.comparison import Row


class Numbers:
    """What the notes of one experiment may say; `of` names a grid where there are several, `at` a method.

    Arguments:
        grids: their findings (`longspan.train.findings`), by name.
    """

    def __init__(self, grids: Mapping[str, Mapping[str, Any]]) -> None:
        self._only = next(iter(grids)) if len(grids) == 1 else None
        self._rows = {
            (name, row["design"], row["method"]): Row.of(row) for name, found in grids.items() for row in found["rows"]
        }

    def percent(self, kind: str, design: str, length: int, at: str = "plain", of: str | None = None) -> str:
        """Return a mean share over seeds: of `whole` answers or of `symbols`."""
        return f"{fmean(self._shares(kind, design, length, at, of)):.0f}"

    def tenths(self, kind: str, design: str, length: int, at: str = "plain", of: str | None = None) -> str:
        """Return the same with a digit more."""
        return f"{fmean(self._shares(kind, design, length, at, of)):.1f}"

    def seeds(self, kind: str, design: str, length: int, at: str = "plain", of: str | None = None) -> Sequence[str]:
        """Return the share of each seed, the highest first."""
        return [f"{share:.0f}" for share in sorted(self._shares(kind, design, length, at, of), reverse=True)]

    def rise(self, design: str, first: int, last: int, at: str = "plain", of: str | None = None) -> str:
        """Return by how many nats the loss rises between two lengths, from the least to the most of all seeds."""
        row = self._row(design, at, of)
        return _range([outcome.loss[last] - outcome.loss[first] for outcome in row.outcomes])

    def above(self, design: str, other: str, length: int, at: str = "plain", beside: str = "plain") -> str:
        """Return by how many nats one loss is above another, seed by seed, likewise."""
        pairs = zip(self._row(design, at, None).outcomes, self._row(other, beside, None).outcomes, strict=True)
        return _range([one.loss[length] - two.loss[length] for one, two in pairs])

    def _row(self, design: str, at: str, of: str | None) -> Row:
        grid = of or self._only
        assert grid is not None
        return self._rows[grid, design, at]

    def _shares(self, kind: str, design: str, length: int, at: str, of: str | None) -> list[float]:
        return [100 * getattr(outcome, kind)[length].value for outcome in self._row(design, at, of).outcomes]


def written(notes: str, numbers: Numbers) -> str:
    """Return notes with their numbers."""
    names = {name: getattr(numbers, name) for name in ("percent", "tenths", "seeds", "rise", "above")}
    return Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(notes).render(names)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}".replace("-", "−")
