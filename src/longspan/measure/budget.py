"""Budget: what is left out when there is not enough time, the least missed first."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from longspan.measure.grid import Grid
from longspan.measure.measurement import PLAIN
from longspan.measure.pace import Pace
from longspan.tasks.documents import Document

FINALISTS = 3
"""How many methods of the race are judged."""

FEW_CANDIDATES, FEWEST_CANDIDATES = 8, 4
"""How many candidates race even if fewer methods are judged for it, and at the very least."""


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    Arguments:
        candidates: methods in the race.
        race, judge: documents.
        contexts, lengths: of the judgement: contexts of the loss, lengths of haystacks.
        finalists: how many methods of the race are judged.
        left_out: in plain words, what the budget does not allow.
    """

    candidates: tuple[str, ...]
    race: tuple[Document, ...]
    judge: tuple[Document, ...]
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]
    finalists: int = FINALISTS
    left_out: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.candidates) > self.finalists

    def race_measurements(self, grid: Grid) -> list[dict[str, Any]]:
        """Of the race."""
        return grid.race((PLAIN, *self.candidates), self.race) if self.races else []

    def judge_measurements(self, grid: Grid, finalists: Sequence[str]) -> list[dict[str, Any]]:
        """Of the judgement."""
        return grid.judgement((PLAIN, *finalists), self.judge, self.contexts, self.lengths)

    def seconds(self, grid: Grid, pace: Pace) -> float:
        """What it will take."""
        planned = [*self.race_measurements(grid), *self.judge_measurements(grid, self.candidates[: self.finalists])]
        return sum(map(pace.seconds, planned))


def plan(
    grid: Grid,
    candidates: Sequence[str],
    race: Sequence[Document],
    judge: Sequence[Document],
    pace: Pace,
    seconds: float = inf,
) -> Plan:
    """The fullest plan that takes at most so many seconds at this pace, else the leanest there is."""
    trained, length = grid.trained_length, grid.length

    def without_last(left: int) -> tuple[str, dict[str, Any]]:
        dropped = full.candidates[left:]
        return f"the candidates {', '.join(dropped)}", {"candidates": full.candidates[:left]}

    full = Plan(tuple(candidates), tuple(race), tuple(judge), tuple(grid.contexts()), tuple(grid.lengths()))
    cuts: list[tuple[str, dict[str, Any]]] = [
        ("haystacks between the trained and the wanted length", {"lengths": (trained, length)}),
        ("contexts between the trained and the wanted length", {"contexts": (trained // 2, trained, length)}),
        ("all but two documents of the race", {"race": full.race[:2]}),
        ("haystacks of the trained length", {"lengths": (length,)}),
        ("all contexts but the trained and the wanted length", {"contexts": (trained, length)}),
        ("all but one document of the race", {"race": full.race[:1]}),
        ("all contexts but the wanted length", {"contexts": (length,)}),
        *map(without_last, range(len(candidates) - 1, FEW_CANDIDATES - 1, -1)),
    ]
    if full.races:
        cuts.append(("all but 2 of the judged methods", {"finalists": 2}))
        cuts += map(without_last, range(min(len(candidates), FEW_CANDIDATES) - 1, FEWEST_CANDIDATES - 1, -1))
        cuts.append(("all but 1 of the judged methods", {"finalists": 1}))
    chosen, changes, left_out = full, {}, {}
    for words, change in cuts:
        if chosen.seconds(grid, pace) <= seconds:
            break
        if all(getattr(chosen, name) == value for name, value in change.items()):
            continue
        left_out[next(iter(change))] = words
        changes |= change
        chosen = Plan(**{**vars(full), **changes, "left_out": tuple(left_out.values())})
    return chosen
