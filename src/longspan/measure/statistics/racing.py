"""Racing: all methods that may still be the best read the next document; one that surely is not leaves at once.

A method is worth what it predicts and what it remembers, and it must not cost much on short texts:

    cost = loss − exchange · facts          nats; facts: share found; exchange: nats that all facts are worth
    price ≤ tolerance                       loss within the trained length, minus the plain model's

Methods are compared on the same documents, by the differences of their costs, so that what makes a document hard
cancels. A difference is sure when its evidence (`anytime_t`) reaches candidates / (1 − level), and so is a price. One
may therefore look after every document: the best candidate that can be afforded ever leaves with probability 1 − level
at most, as far as differences are Gaussian. A method that is too expensive eliminates no other one.

A budget that does not reach every cell cuts further (`halving`). Such a cut is a guess, and is reported as one.

Source: Maron & Moore 1994, "Hoeffding races", NIPS 6 (all read the same documents); Birattari et al. 2002, "A racing
algorithm for configuring metaheuristics", GECCO (paired differences).
Differs from the papers: differences are tested by an e-process, which needs neither bounds nor a number of looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np

from longspan.errors import InputError
from longspan.measure.statistics.anytime_t import log_evidence
from longspan.measure.statistics.halving import Halving
from longspan.measure.statistics.interval import LEVEL

EXCHANGE = 1.0
"""Nats that finding all facts instead of none is worth: two points of facts weigh as much as 0.02 nats."""

TOLERANCE = 0.02
"""Nats that a method may cost on short texts."""

PENALTY = 10.0
"""What a nat of price beyond the tolerance costs where few documents leave open whether it is beyond it, nats."""

Reason = Literal["worse", "price", "failed", "budget"]


class Cell(NamedTuple):
    """One reading: a document by a candidate."""

    candidate: str
    document: str


@dataclass(frozen=True)
class Score:
    """What a candidate did on a document.

    Arguments:
        loss: beyond the trained length, nats per token.
        facts: share of the facts beyond the trained length that were found; None where the document holds none, which
            is a document of a race only if all of its documents are such ones.
        price: loss within the trained length, minus the plain model's on the same document, nats per token.

    Errors: InputError for a number that is not finite; a candidate that failed has no score.
    """

    loss: float
    facts: float | None
    price: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.loss, self.facts or 0.0, self.price))):
            raise InputError(f"a score must be finite, got {self}: give None for a candidate that failed")

    def cost(self, exchange: float = EXCHANGE) -> float:
        """Return loss − exchange · facts, nats; the loss alone where there are no facts."""
        return self.loss - exchange * (self.facts or 0.0)


@dataclass(frozen=True)
class Elimination:
    """A candidate that left the race.

    Arguments:
        candidate: its name.
        reason: "worse": surely worse than another one; "price": surely above the tolerance; "failed"; "budget": it
            looked worse than those that the budget had places for.
        by: the candidate that it is worse than; None where no other candidate decided.
        documents: how many had been read.
    """

    candidate: str
    reason: Reason
    by: str | None
    documents: int


@dataclass(frozen=True)
class Ranking:
    """What the scores say.

    Arguments:
        alive: candidates that are in the race, the lowest mean cost first, and those beyond the tolerance last.
        affordable: those of them whose mean price is within the tolerance.
        eliminated: those that left, in that order.
        used: the cells that all of this rests on.
        wanted: the cells to measure next; none when the race is over.
    """

    alive: tuple[str, ...]
    affordable: tuple[str, ...]
    eliminated: tuple[Elimination, ...]
    used: tuple[Cell, ...]
    wanted: tuple[Cell, ...]


class Race:
    """A race of candidates over documents: a pure function of the scores, in whatever order they were added.

    Arguments:
        candidates: names. Their order decides only where costs are equal to the last digit.
        documents: names, in the order of reading, which must not depend on what is read.
        budget: cells that may be measured.
        level: of confidence that the best candidate does not leave as the worse one.
        tolerance, exchange: see above.

    >>> race = Race(["near", "far"], ["novel", "play"])
    >>> race.next()
    (Cell(candidate='near', document='novel'), Cell(candidate='far', document='novel'))

    Errors: InputError for no candidates, and for names that are not unique.
    """

    def __init__(
        self,
        candidates: Sequence[str],
        documents: Sequence[str],
        budget: float = inf,
        *,
        level: float = LEVEL,
        tolerance: float = TOLERANCE,
        exchange: float = EXCHANGE,
    ) -> None:
        for what, names in {"candidates": candidates, "documents": documents}.items():
            if len(set(names)) != len(names):
                raise InputError(f"the {what} of a race need different names, got {', '.join(names)}")
        if not candidates:
            raise InputError("a race needs one candidate at least, got none")
        self.candidates, self.documents, self.budget = tuple(candidates), tuple(documents), budget
        self.level, self.tolerance, self.exchange = level, tolerance, exchange
        self._scores: dict[Cell, Score | None] = {}
        self._ranking: Ranking | None = None

    def add(self, candidate: str, document: str, score: Score | None) -> None:
        """Add what was measured; None for a candidate that failed.

        Errors: InputError for a cell that is not one of this race.
        """
        if candidate not in self.candidates or document not in self.documents:
            raise InputError(f"{candidate!r} on {document!r} is no cell of this race")
        self._scores[Cell(candidate, document)] = score
        self._ranking = None

    def next(self) -> tuple[Cell, ...]:
        """Return the cells to measure now: one document by all that are alive; no cells when the race is over."""
        return self.ranking.wanted

    @property
    def alive(self) -> tuple[str, ...]:
        """Candidates that are in the race, the lowest mean cost first."""
        return self.ranking.alive

    @property
    def eliminated(self) -> tuple[Elimination, ...]:
        """Candidates that left: why, by whom, and after how many documents."""
        return self.ranking.eliminated

    @property
    def best(self) -> str | None:
        """The candidate to use; None where none is within the tolerance, and before the first document."""
        return next(iter(self.ranking.affordable), None)

    @property
    def tied(self) -> tuple[str, ...]:
        """The others that may be as good as the best one, as far as was measured."""
        return self.ranking.affordable[1:]

    @property
    def standing(self) -> tuple[str, ...]:
        """Every candidate that was read and did not fail, the most promising first.

        In this order: those within the tolerance that no other one is surely better than, those that have read more
        documents first; those within the tolerance that surely are worse than another one; the too expensive ones.
        Among equals the lower mean cost comes first, on the documents of this candidate; all of them have read those.
        """
        left = {each.candidate: each for each in self.eliminated}

        def rank(name: str) -> tuple[bool, bool, int, float]:
            scores, reason = self.scores(name), left[name].reason if name in left else None
            dear = reason == "price" or fmean(score.price for score in scores) > self.tolerance
            return dear, reason == "worse", -len(scores), fmean(self.costs(name))

        read = [name for name in self.candidates if self.scores(name)]
        return tuple(sorted((n for n in read if n not in left or left[n].reason != "failed"), key=rank))

    def scores(self, candidate: str) -> tuple[Score, ...]:
        """Return the scores of a candidate that count, in the order of the documents."""
        found = [self._scores.get(cell) for cell in self.ranking.used if cell.candidate == candidate]
        return tuple(score for score in found if score is not None)

    def costs(self, candidate: str) -> list[float]:
        """Return loss − exchange · facts of the same documents."""
        return [score.cost(self.exchange) for score in self.scores(candidate)]

    @property
    def ranking(self) -> Ranking:
        """Everything that the scores say."""
        if self._ranking is None:
            progress = _Progress(self)
            self._ranking = progress.ranking(progress.run(self._scores))
        return self._ranking


class _Progress:
    """A race followed through the scores, document by document, from the first one on."""

    def __init__(self, race: Race) -> None:
        self.race = race
        self.alive = list(race.candidates)
        self.eliminated: list[Elimination] = []
        self.used: list[Cell] = []
        self.costs: dict[str, list[float]] = {name: [] for name in race.candidates}
        self.prices: dict[str, list[float]] = {name: [] for name in race.candidates}

    def run(self, scores: dict[Cell, Score | None]) -> list[Cell]:
        """Follow the race as far as there are scores; return the cells that are missing then."""
        halving = Halving(len(self.alive), len(self.race.documents), self.race.budget)
        for read, document in enumerate(self.race.documents):
            places = halving.places(read, len(self.alive), len(self.used))
            if places < (2 if read else 1):  # one candidate alone is compared with nothing
                break
            self._keep(places, read)
            cells = [Cell(name, document) for name in self.alive]
            missing = [cell for cell in cells if cell not in scores]
            if missing:
                return missing
            self.used += cells
            for cell in cells:
                self._take(cell.candidate, scores[cell], read + 1)
            self._compare(read + 1)
        return []

    def ranking(self, wanted: Sequence[Cell]) -> Ranking:
        """Return what is known, and which cells are wanted."""
        alive = sorted(self.alive, key=self._rank) if self.used else self.alive
        affordable = [name for name in alive if self.used and not self._too_expensive(name)]
        return Ranking(tuple(alive), tuple(affordable), tuple(self.eliminated), tuple(self.used), tuple(wanted))

    def _take(self, name: str, score: Score | None, read: int) -> None:
        if score is None:
            self._leave(name, "failed", None, read)
        else:
            self.costs[name].append(score.cost(self.race.exchange))
            self.prices[name].append(score.price)

    def _compare(self, read: int) -> None:
        """Eliminate what is surely too expensive, or surely worse than a candidate that surely is not too expensive."""
        if not self.alive:
            return
        names, sure = list(self.alive), log(len(self.race.candidates)) - log(1 - self.race.level)
        costs = np.array([self.costs[name] for name in names]).T
        excess = np.array([self.prices[name] for name in names]).T - self.race.tolerance
        too_expensive, affordable = _above_zero(excess), _above_zero(-excess) >= sure
        worse = np.where(affordable, _above_zero(costs[:, :, None] - costs[:, None, :]), 0.0)
        for i, name in enumerate(names):
            by = int(worse[i].argmax())
            if too_expensive[i] >= sure:
                self._leave(name, "price", None, read)
            elif worse[i, by] >= sure:
                self._leave(name, "worse", names[by], read)

    def _keep(self, places: int, read: int) -> None:
        """Eliminate those that look worst, as the budget has places for so many only."""
        ranked = sorted(self.alive, key=self._rank) if read else list(self.alive)
        for name in ranked[places:]:
            self._leave(name, "budget", ranked[places - 1] if read and places else None, read)

    def _leave(self, name: str, reason: Reason, by: str | None, read: int) -> None:
        self.alive.remove(name)
        self.eliminated.append(Elimination(name, reason, by, read))

    def _too_expensive(self, name: str) -> bool:
        return float(np.mean(self.prices[name])) > self.race.tolerance

    def _rank(self, name: str) -> tuple[bool, float]:
        """Sort the too expensive last. Sorting is stable: the order of the candidates decides between equals."""
        return self._too_expensive(name), float(np.mean(self.costs[name]))


def _above_zero(values: np.ndarray) -> np.ndarray:
    """Return the log of the evidence that a mean over documents, the first axis, is above 0; 0 where it is below."""
    return np.where(values.mean(0) > 0, log_evidence(values), 0.0)
