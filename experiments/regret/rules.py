"""Rules that choose a method from some of a table's cells: the one of `longspan extend` in 2026, and racing.

The first is written out here as it was, so that a replay says the same whatever the library does later (compared with
the library at f0448c5: the same plan for 20 budgets, the same finalists and verdict in 300 draws):

    race        all candidates read up to three documents of their own; by the loss of the second half, those first
                that cost at most the tolerance; three finalists, and one that finds many facts in place of the last
    judgement   the finalists read eight other documents; the lowest loss among those that beat truncation in loss or in
                facts, or the most facts among those whose loss is not surely higher
    budget      what is left out when time is short: see `plan`

Where a short budget lets methods race on shorter texts, the replay gives them the readings of the whole text at the
price of the shorter one, which favors the rule.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np
from table import TRUNCATION, Table

from longspan.measure.statistics.interval import paired, wilson
from longspan.measure.statistics.racing import Race, Score

TOLERANCE = 0.02
JUDGED = 8
RESERVE = 0.1


@dataclass(frozen=True)
class Choice:
    """What a rule chose.

    Arguments:
        method: "truncation" where nothing is worth using.
        seconds: of processor time it took.
    """

    method: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """How much of everything the rule of 2026 measures."""

    candidates: int
    race: int
    race_length: int
    finalists: int
    whole: int
    contexts: tuple[int, ...]
    lengths: tuple[int, ...]


def plan(table: Table, seconds: float = inf) -> Plan:
    """The fullest plan within a budget, else the leanest one."""
    lengths = [table.trained_length]
    while 2 * lengths[-1] < table.length:
        lengths.append(2 * lengths[-1])
    lengths.append(table.length)
    count = len(table.candidates)
    full = Plan(count, 3, table.length, 3, JUDGED, (table.trained_length // 2, *lengths), tuple(lengths))
    possible = [(key, value) for key, value in _omissions(full, table) if value != getattr(full, key)]

    def without(omissions: Sequence[tuple[str, object]]) -> Plan:
        return replace(full, **dict(omissions))  # type: ignore[arg-type]

    def fits(omissions: Sequence[tuple[str, object]]) -> bool:
        return cost(without(omissions), table) <= (1 - RESERVE) * seconds

    made = next((possible[:n] for n in range(len(possible)) if fits(possible[:n])), possible)
    if fits(made):
        for omission in reversed(made):
            others = [other for other in made if other is not omission]
            made = others if fits(others) else made
    return without(made)


def _omissions(full: Plan, table: Table) -> Iterator[tuple[str, object]]:
    """What is left out, the least missed first."""
    trained, length = table.trained_length, table.length
    yield "lengths", (trained, length)
    yield "contexts", (trained // 2, trained, length)
    yield "race", 2
    yield "lengths", (length,)
    yield "contexts", (trained, length)
    yield "race", 1
    yield "contexts", (length,)
    yield "whole", 3
    yield "race_length", (trained + length) // 2
    yield from (("candidates", left) for left in range(full.candidates - 1, 7, -1))
    yield "finalists", 2
    yield from (("candidates", left) for left in range(min(full.candidates, 8) - 1, 3, -1))
    yield "finalists", 1


def cost(plan: Plan, table: Table) -> float:
    """Processor seconds of a plan, at the pace of the plain model."""
    n, trained = table.length, table.trained_length

    def pieces(context: int, length: int = n) -> int:
        tail = max(1, min(trained // 4, length // 8, max(256, trained // 8)))
        return ceil(tail / min(tail, context // 8))

    long, short = table.seconds[1], table.seconds[0] / pieces(trained)
    per_pair = min(max((long / n - short / trained) / (n - trained), 0.0), long / n**2)
    per_token = long / n - per_pair * n

    def reading(tokens: int) -> float:
        return per_token * tokens + per_pair * tokens**2

    def method(contexts: Sequence[int], lengths: Sequence[int]) -> float:
        """One method on one document."""
        return reading(n) + sum(pieces(c) * reading(c) for c in contexts) + sum(map(reading, lengths))

    contexts, lengths = plan.contexts[:-1], plan.lengths[:-1]
    race = plan.race * (1 + plan.candidates) * reading(plan.race_length) if plan.candidates > plan.finalists else 0.0
    truncation = sum(reading(trained) * (1 if m == trained else pieces(trained, m)) for m in plan.lengths)
    plain = method([c for c in contexts if c != trained], [m for m in lengths if m != trained])
    starts = JUDGED * reading(trained) if plan.whole < JUDGED else 0.0
    judged = JUDGED * (truncation + plan.finalists * method(contexts, lengths))
    return race + judged + plan.whole * plain + starts


def of_2026(table: Table, order: Sequence[int], plan: Plan) -> Choice:
    """The verdict of the rule of 2026 on documents in this order."""
    judged, raced = list(order[:JUDGED]), list(order[JUDGED : JUDGED + plan.race])
    running = [name for name in table.candidates[: plan.candidates] if name not in table.failed]
    finalists = _finalists(table, running, raced, plan.finalists) if plan.candidates > plan.finalists else running
    return Choice(verdict(table, finalists, judged), cost(plan, table))


def _finalists(table: Table, running: Sequence[str], raced: Sequence[int], count: int) -> list[str]:
    """Who is judged."""

    def dear(name: str) -> bool:
        return float(table.price[table.row(name), raced].mean()) > TOLERANCE

    ranked = sorted(running, key=lambda name: (dear(name), table.half[table.row(name), raced].mean()))
    chosen = ranked[:count]
    found = {name: float(table.facts[table.row(name), raced].mean()) for name in ranked if not dear(name)}
    most, asked = max(found.values(), default=0.0), 16 * len(raced)
    finding = [name for name in found if wilson(found[name], asked)[1] >= most]
    if finding and not any(name in finding for name in chosen):
        chosen[-1] = finding[0]
    return chosen


def verdict(table: Table, methods: Sequence[str], documents: Sequence[int]) -> str:
    """The method to use of these, by these documents, as the rule of 2026 says."""

    def of(array: np.ndarray, name: str) -> list[float]:
        return array[table.row(name), documents].tolist()

    worth = [
        name
        for name in methods
        if float(np.mean(of(table.price, name))) <= TOLERANCE
        and (
            paired(of(table.loss, name), of(table.loss, TRUNCATION)).below_zero
            or paired(of(table.facts, name), of(table.facts, TRUNCATION)).above_zero
        )
    ]
    if not worth:
        return TRUNCATION
    best = min(worth, key=lambda name: np.mean(of(table.loss, name)))
    near = [name for name in worth if not paired(of(table.loss, name), of(table.loss, best)).above_zero]
    return min(near, key=lambda name: (-np.mean(of(table.facts, name)), np.mean(of(table.loss, name))))


def racing(table: Table, order: Sequence[int], cells: float, *, level: float = 0.95, half: bool = True) -> Choice:
    """The best candidate of a race, if it costs less than truncation on the documents that were read.

    Arguments:
        cells: the budget.
        level: of the race.
        half: whether candidates are compared by the loss of the second half of the text, instead of that of its end.
    """
    names = [str(document) for document in order]
    race = Race(table.candidates, names, cells, level=level)
    loss = table.half if half else table.loss
    for name in table.candidates:
        for document in order:
            cell = table.row(name), document
            failed = np.isnan(loss[cell])
            score = None if failed else Score(float(loss[cell]), float(table.facts[cell]), float(table.price[cell]))
            race.add(name, str(document), score)
    used = race.ranking.used
    read = list(dict.fromkeys(int(cell.document) for cell in used))
    seconds = sum(table.seconds[table.row(cell.candidate)] for cell in used) + len(read) * overhead(table)
    best = race.best
    if best is None or costs(table, best, read).mean() >= costs(table, TRUNCATION, read).mean():
        return Choice(TRUNCATION, seconds)
    return Choice(best, seconds)


def costs(table: Table, name: str, documents: Sequence[int]) -> np.ndarray:
    """Loss minus facts of each document: two points of facts weigh as much as 0.02 nats."""
    return table.loss[table.row(name), documents] - table.facts[table.row(name), documents]


def overhead(table: Table) -> float:
    """Seconds that a race spends on a document beside its candidates: truncation, and the plain model's beginning."""
    return 2 * float(table.seconds[0])


def cells_within(table: Table, seconds: float) -> float:
    """How many cells a race may use in so many seconds, if nobody leaves early."""
    count, documents = len(table.candidates), len(table.documents)
    each = float(np.median(table.seconds[2:]))

    def takes(cells: int) -> float:
        race = Race(table.candidates, [str(i) for i in range(documents)], cells)
        for name in table.candidates:
            for i in range(documents):
                race.add(name, str(i), Score(0.0, 0.0))
        return cells * each + len({cell.document for cell in race.ranking.used}) * overhead(table)

    return max(1, bisect_right(range(1, count * documents + 1), (1 - RESERVE) * seconds, key=takes))
