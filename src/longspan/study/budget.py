"""Budget: what is left out when there is not enough time, the least missed first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from longspan.measure.kinds import PLAIN, Short
from longspan.study.grid import Grid, Measurements
from longspan.study.pace import Pace
from longspan.tasks.documents import Document

FINALISTS = 3
"""How many methods of the race are judged."""

FEW_CANDIDATES, FEWEST_CANDIDATES = 8, 4
"""How many candidates race even if fewer methods are judged for it, and at the very least."""

FEW_WHOLE = 3
"""On how many judged documents the plain model shows what it does beyond its trained length, at the very least."""

RESERVE = 0.1
"""Share of a budget that nothing is planned for: methods take up to a tenth longer than the plain model."""


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    Arguments:
        candidates: methods in the race.
        race, judge: documents.
        race_length: tokens read in the race.
        whole: the judged documents that the plain model reads beyond its trained length, the first ones.
        contexts, lengths: of the judgement: contexts of the loss, lengths of haystacks.
        finalists: how many methods of the race are judged.
        left_out: in plain words, what the budget does not allow.
    """

    candidates: tuple[str, ...]
    race: tuple[Document, ...]
    judge: tuple[Document, ...]
    race_length: int
    whole: tuple[Document, ...]
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]
    finalists: int = FINALISTS
    left_out: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.candidates) > self.finalists

    def race_measurements(self, grid: Grid) -> Measurements:
        """Of the race."""
        return self.race_grid(grid).race((PLAIN, *self.candidates), self.race) if self.races else []

    def race_grid(self, grid: Grid) -> Grid:
        """Of the same model at the length of the race."""
        return replace(grid, length=self.race_length)

    def judge_measurements(self, grid: Grid, finalists: Sequence[str]) -> Measurements:
        """Of the judgement."""
        return [
            *grid.truncations(self.judge, self.lengths),
            *([] if self.whole == self.judge else [grid.ask(Short, document) for document in self.judge]),
            *grid.judgement((PLAIN,), self.whole, self.contexts, self.lengths),
            *grid.judgement(finalists, self.judge, self.contexts, self.lengths),
        ]

    def seconds(self, grid: Grid, pace: Pace) -> float:
        """What it will take."""
        planned = [*self.race_measurements(grid), *self.judge_measurements(grid, self.candidates[: self.finalists])]
        return sum(map(pace.seconds, planned))


@dataclass(frozen=True)
class Omission:
    """One part of a plan made smaller.

    Arguments:
        part: a name of `Plan`'s.
        value: what it becomes.
        words: what is left out then.
    """

    part: str
    value: Any
    words: str


def plan(
    grid: Grid,
    candidates: Sequence[str],
    race: Sequence[Document],
    judge: Sequence[Document],
    pace: Pace,
    seconds: float = inf,
) -> Plan:
    """The fullest plan that takes at most so many seconds at this pace, else the leanest there is."""
    full = Plan(
        tuple(candidates), tuple(race), tuple(judge), grid.length, tuple(judge),
        tuple(grid.contexts()), tuple(grid.lengths()),
    )  # fmt: skip
    possible = _omissions(full, grid)

    def fits(omissions: Sequence[Omission]) -> bool:
        return _without(full, omissions).seconds(grid, pace) <= (1 - RESERVE) * seconds

    made = next((possible[:count] for count in range(len(possible)) if fits(possible[:count])), possible)
    if fits(made):  # one may have saved so much that earlier ones need not have been made
        for omission in reversed(made):
            others = [other for other in made if other is not omission]
            made = others if fits(others) else made
    return _without(full, made)


def _without(full: Plan, omissions: Sequence[Omission]) -> Plan:
    """A plan after omissions; of those of one part the last one counts."""
    last = {omission.part: omission for omission in omissions}
    values = {part: omission.value for part, omission in last.items()}
    return replace(full, **values, left_out=tuple(omission.words for omission in last.values()))


def _omissions(full: Plan, grid: Grid) -> list[Omission]:
    """All there are, the least missed first."""
    trained, length = grid.trained_length, grid.length
    between = (trained + length) // 2

    def without_last(left: int) -> Omission:
        return Omission("candidates", full.candidates[:left], f"the candidates {', '.join(full.candidates[left:])}")

    found = [
        Omission("lengths", (trained, length), "haystacks between the trained and the wanted length"),
        Omission("contexts", (trained // 2, trained, length), "contexts between the trained and the wanted length"),
        Omission("race", full.race[:2], "all but two documents of the race"),
        Omission("lengths", (length,), "haystacks of the trained length"),
        Omission("contexts", (trained, length), "all contexts but the trained and the wanted length"),
        Omission("race", full.race[:1], "all but one document of the race"),
        Omission("contexts", (length,), "all contexts but the wanted length"),
        Omission(
            "whole", full.judge[:FEW_WHOLE], f"the plain model beyond {trained} tokens, but for {FEW_WHOLE} documents"
        ),
    ]
    if full.races:
        count = len(full.candidates)
        found += [
            Omission("race_length", between, f"what lies beyond {between} tokens in the race"),
            *map(without_last, range(count - 1, FEW_CANDIDATES - 1, -1)),
            Omission("finalists", 2, "all but 2 of the judged methods"),
            *map(without_last, range(min(count, FEW_CANDIDATES) - 1, FEWEST_CANDIDATES - 1, -1)),
            Omission("finalists", 1, "all but 1 of the judged methods"),
        ]
    return [omission for omission in found if omission.value != getattr(full, omission.part)]
