"""Budget: what a plan leaves out when there is too little time, the least missed first."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.study.planning.plan import StudyPlan, entry_length
from longspan.study.planning.subject import Subject

FEWEST_CANDIDATES = 3
"""How many candidates race where a shorter text decides which, at the very least; where there is none, all of them."""

FEWEST_FINALISTS = 2
"""How many are judged without a race, on fewer documents than a verdict needs (experiments/regret)."""

ROUNDS = 3
"""How many documents' worth of readings a race keeps while the judgement is still whole."""

FEWEST_WHOLE = 3
"""On how many judged documents the plain model shows what it does beyond its trained length, at the very least."""

RESERVE = 0.1
"""Share of a budget that nothing is planned for: methods take up to a tenth longer than the plain model."""

OVERRUN = 1.2
"""How many times the budget a study may take that judges all documents; beyond that it judges fewer."""


@dataclass(frozen=True)
class Omission:
    """One part of a plan made smaller.

    Arguments:
        part: a field of `StudyPlan`.
        value: what it becomes.
        words: what is left out then; empty for readings of the race: the summary names what was not decided.
    """

    part: str
    value: Any
    words: str


def plan_within(
    seconds: float,
    pace: Pace,
    subject: Subject,
    candidates: Sequence[str],
    race: Sequence[Document],
    judge: Sequence[Document],
    exportable: AbstractSet[str] = frozenset(),
    follows_length: bool = False,
) -> StudyPlan:
    """Return the fullest plan that takes at most so many seconds at this pace.

    Where no plan with a verdict comes near to that, it is one that judges fewer documents, and if need be the shortest.
    """
    full = full_plan(subject, candidates, race, judge, exportable, follows_length)
    possible = _omissions(full)

    def fits(omissions: Sequence[Omission]) -> bool:
        return _without(full, omissions).seconds(pace) <= (1 - RESERVE) * seconds

    made = next((possible[:count] for count in range(len(possible)) if fits(possible[:count])), possible)
    if fits(made):  # one may have saved so much that earlier ones need not have been made
        for omission in reversed(made):
            others = [other for other in made if other is not omission]
            made = others if fits(others) else made
    elif (brief := _brief(full, possible)) and _without(full, made).seconds(pace) > OVERRUN * seconds:
        made = next((omissions for omissions in brief if fits(omissions)), brief[-1])
    return _without(full, made)


def _brief(full: StudyPlan, possible: Sequence[Omission]) -> list[list[Omission]]:
    """Studies without a race that judge fewer documents, the fewest last."""
    found = []
    for count in range(len(full.judge) - 1, 0, -1):
        judge = full.judge[:count]
        words = f"all but {count} of the {len(full.judge)} documents to judge on, so that there is no full verdict"
        whole = judge if full.subject.within else judge[:FEWEST_WHOLE]
        made = [*possible, Omission("judge", judge, words), Omission("whole", whole, "")]
        made += [Omission("reserved", 0, "")]
        if full.races:
            made += [Omission("finalists", FEWEST_FINALISTS, "")]
            made += [Omission("readings", 0, "")] if entry_length(full.subject) else []
        found.append(made)
    return found


def full_plan(
    subject: Subject,
    candidates: Sequence[str],
    race: Sequence[Document],
    judge: Sequence[Document],
    exportable: AbstractSet[str] = frozenset(),
    follows_length: bool = False,
) -> StudyPlan:
    """Return the plan that leaves nothing out."""
    return StudyPlan(
        subject, tuple(candidates), tuple(race), tuple(judge), len(candidates) * len(race), subject.length,
        tuple(judge), tuple(subject.contexts()), tuple(subject.lengths()), exportable=exportable,
        follows_length=follows_length,
    )  # fmt: skip


def shortest_verdict(full: StudyPlan) -> StudyPlan:
    """Return the leanest plan that judges as many documents as the full one."""
    return _without(full, _omissions(full))


def _without(full: StudyPlan, omissions: Sequence[Omission]) -> StudyPlan:
    """A plan after omissions; of those of one part the last one counts."""
    last = {omission.part: omission for omission in omissions}
    values = {part: omission.value for part, omission in last.items()}
    return replace(full, **values, left_out=tuple(words for omission in last.values() if (words := omission.words)))


def _omissions(full: StudyPlan) -> list[Omission]:
    """Everything that can be left out, the least missed first."""
    trained, length = full.subject.trained_length, full.subject.length
    between, count = (trained + length) // 2, len(full.candidates)

    def readings(count: int) -> Omission:
        return Omission("readings", count, "")

    # Two finalists of one round miss the best less often than one of two rounds (experiments/regret).
    finalists = [Omission("finalists", 2, ""), *map(readings, range(2 * count - 1, count - 1, -1))]
    fewest = FEWEST_CANDIDATES if entry_length(full.subject) else count
    fewer = [Omission("finalists", 1, ""), *map(readings, range(count - 1, fewest - 1, -1))]
    fewer += [Omission("reserved", 0, "the place of the best method that stock runtimes express")][
        : len(full.exportable)
    ]
    shorter = [Omission("race_length", between, f"what lies beyond {between} tokens in the race")]
    if full.subject.within:
        contexts = Omission("contexts", (length,), f"the context of {length // 2} tokens")
        found = [readings(ROUNDS * count), contexts, readings(2 * count), *finalists, *fewer]
    else:
        few = f"the plain model beyond {trained} tokens, but for {FEWEST_WHOLE} documents"
        found = [
            Omission("lengths", (trained, length), "haystacks between the trained and the wanted length"),
            Omission("contexts", (trained // 2, trained, length), "contexts between the trained and the wanted length"),
            readings(ROUNDS * count),
            Omission("lengths", (length,), "haystacks of the trained length"),
            Omission("contexts", (trained, length), "all contexts but the trained and the wanted length"),
            Omission("contexts", (length,), "all contexts but the wanted length"),
            Omission("whole", full.judge[:FEWEST_WHOLE], few),
            readings(2 * count),
            *(finalists[:1] + shorter + finalists[1:] + fewer if full.races else []),
        ]
    return [
        omission
        for omission in found
        if omission.value != getattr(full, omission.part)
        if omission.part not in ("readings", "finalists", "reserved")
        or (full.races and omission.value < getattr(full, omission.part))
    ]
