"""Budget: what is left out when there is not enough time, the least missed first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.grid import Grid, tokens
from longspan.measure.measurement import PLAIN
from longspan.tasks.documents import Document

FINALISTS = 3
"""How many methods of the race are judged."""

FEWEST_CANDIDATES = 4


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    Arguments:
        candidates: methods in the race.
        race, judge: documents.
        contexts, lengths: of the judgement: contexts of the loss, lengths of haystacks.
        race_lengths: of the race: lengths of haystacks.
        finalists: how many methods of the race are judged.
        left_out: in plain words, what the budget does not allow.
    """

    candidates: tuple[str, ...]
    race: tuple[Document, ...]
    judge: tuple[Document, ...]
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]
    race_lengths: tuple[int, ...]
    finalists: int = FINALISTS
    left_out: tuple[str, ...] = ()

    @property
    def races(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.candidates) > self.finalists

    def race_measurements(self, grid: Grid) -> list[dict[str, Any]]:
        """Of the race."""
        return grid.race((PLAIN, *self.candidates), self.race, self.race_lengths) if self.races else []

    def judge_measurements(self, grid: Grid, finalists: Sequence[str]) -> list[dict[str, Any]]:
        """Of the judgement."""
        return grid.judgement((PLAIN, *finalists), self.judge, self.contexts, self.lengths)

    def tokens(self, grid: Grid) -> int:
        """All that will be read."""
        planned = [*self.race_measurements(grid), *self.judge_measurements(grid, self.candidates[: self.finalists])]
        return sum(map(tokens, planned))


def plan(
    grid: Grid,
    candidates: Sequence[str],
    race: Sequence[Document],
    judge: Sequence[Document],
    affordable: float | None = None,
) -> Plan:
    """The fullest plan that reads at most `affordable` tokens (None: no limit), else the leanest there is."""
    trained, length = grid.trained_length, grid.length
    full = Plan(tuple(candidates), tuple(race), tuple(judge), tuple(grid.contexts()), tuple(grid.lengths()), (length,))
    few_contexts = tuple(dict.fromkeys((trained // 2, trained, length)))
    ends = tuple(dict.fromkeys((trained, length)))
    cuts: list[tuple[str, dict[str, Any]]] = [
        ("haystacks between the trained and the wanted length", {"lengths": ends}),
        ("contexts between the trained and the wanted length", {"contexts": few_contexts}),
        ("all but two documents of the race", {"race": full.race[:2]}),
        ("haystacks of the trained length", {"lengths": (length,)}),
        ("all but one document of the race", {"race": full.race[:1]}),
        ("haystacks of the race", {"race_lengths": ()}),
    ]
    for fewer in range(len(full.candidates) - 1, FEWEST_CANDIDATES - 1, -1):
        dropped = full.candidates[fewer:]
        cuts.append((f"the candidates {', '.join(dropped)}", {"candidates": full.candidates[:fewer]}))
    if full.races:
        cuts += [(f"all but {few} of the judged methods", {"finalists": few}) for few in (2, 1)]
    chosen, changes, left_out = full, {}, {}
    for words, change in cuts:
        if affordable is None or chosen.tokens(grid) <= affordable:
            break
        if all(getattr(chosen, name) == value for name, value in change.items()):
            continue
        left_out[next(iter(change))] = words
        changes |= change
        chosen = Plan(**{**vars(full), **changes, "left_out": tuple(left_out.values())})
    return chosen
