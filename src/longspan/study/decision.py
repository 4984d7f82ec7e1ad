"""Decision: which method to use, if any, from the scores of the judged documents.

What is compared is the cost, loss − EXCHANGE · facts: two points of the far facts weigh as much as 0.02 nats. There are
two baselines that need no method: truncation, the plain model on the last trained-length tokens, and the plain model on
the whole text, which may read farther than its config says. Within the trained length the plain model is the only one.

1. A method is worth using when its loss within the trained length is at most the tolerance above the plain model's,
   and its cost is below that of every baseline, by a 95 % interval over documents that excludes 0.
2. Those worth using that no other one is surely better than cannot be told apart. Of those among them whose mean cost
   is within INDIFFERENCE of the lowest, one that stock runtimes express is taken, then the one of the fewest parts,
   then the first in the order of candidates.
3. Where no method is worth using, the model stays as it is if the plain model surely beats truncation. If neither it
   nor an affordable method does, truncation is the advice. If a method does, but does not surely beat the plain model
   as well, there is no verdict: truncation would surely be a loss.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import exp, log, sqrt
from statistics import fmean, stdev

from longspan.measure.statistics.interval import Estimate, mean, paired
from longspan.measure.statistics.racing import EXCHANGE, PENALTY
from longspan.notation import parts
from longspan.study.contrast import Contrast
from longspan.study.verdict import Advice, ChosenBy, Tie

FEWEST_DOCUMENTS = 8
TOLERANCE = 0.02

INDIFFERENCE = 0.02
"""Nats of cost that do not matter between methods that cannot be told apart."""


@dataclass(frozen=True)
class Scores:
    """The scores of a row on the judged documents, one number per document, in the same order for every row.

    The plain model may have read the first documents only; rows are compared on the documents that both have read.

    Arguments:
        loss: of the last tokens at the wanted length, nats.
        short: loss within the trained length, nats.
        beyond: share of the far facts that were found at the wanted length; None for a document that holds none, which
            is left out wherever facts are compared.
        seconds: that it took to read a document for its end; empty where nothing was timed.
        devices: where they were timed: times on different devices say nothing of methods. None is one that was not
            recorded.
    """

    loss: Sequence[float]
    short: Sequence[float]
    beyond: Sequence[float | None]
    seconds: Sequence[float] = ()
    devices: AbstractSet[str | None] = frozenset()

    @property
    def costs(self) -> list[float]:
        """Loss − EXCHANGE · facts of each document that holds far facts, nats."""
        pairs = zip(self.loss, self.beyond, strict=True)
        return [loss - EXCHANGE * facts for loss, facts in pairs if facts is not None]

    @property
    def facts(self) -> list[float]:
        """Share of the far facts that were found, of each document that holds some."""
        return [facts for facts in self.beyond if facts is not None]


@dataclass(frozen=True)
class Field:
    """Everybody that is judged, on the same documents.

    Arguments:
        methods: by their text, in the order of the candidates.
        plain: the plain model; `short` is of all documents.
        truncation: None where the wanted length is within the trained one.
        exportable: methods that stock runtimes express.
        tolerance: nats per token that a method may cost on short texts.
    """

    methods: Mapping[str, Scores]
    plain: Scores
    truncation: Scores | None
    exportable: AbstractSet[str] = frozenset()
    tolerance: float = TOLERANCE

    @property
    def baselines(self) -> list[Scores]:
        """What needs no method."""
        return [self.plain] if self.truncation is None else [self.truncation, self.plain]

    @property
    def documents(self) -> int:
        """How many are judged on."""
        return len(self.plain.short)

    def affordable(self, method: str) -> bool:
        """Whether a method costs at most the tolerance on short texts, on average."""
        return _paired(self.methods[method].short, self.plain.short).value <= self.tolerance

    def worth(self, baselines: Sequence[Scores]) -> list[str]:
        """Return the affordable methods that have read every document and surely beat these baselines."""
        return [
            name
            for name, scores in self.methods.items()
            if len(scores.loss) == self.documents
            and self.affordable(name)
            and all(difference(scores, baseline).below_zero for baseline in baselines)
        ]


@dataclass(frozen=True)
class Decision:
    """What follows from the scores.

    Arguments:
        advice: what to do.
        winner: the method to use; None where the advice is another one.
        chosen_by, ties: as in `longspan.study.verdict.Verdict`.
    """

    advice: Advice
    winner: str | None = None
    chosen_by: ChosenBy | None = None
    ties: tuple[Tie, ...] = field(default=())


def decide(judged: Field) -> Decision:
    """Decide between all methods and baselines."""
    worth = judged.worth(judged.baselines)
    if not worth:
        truncation = judged.truncation
        if truncation is None or difference(judged.plain, truncation).below_zero:
            return Decision("plain")
        return Decision("none" if judged.worth([truncation]) else "truncation")
    scores = judged.methods
    near = [name for name in worth if not any(difference(scores[name], scores[other]).above_zero for other in worth)]
    best = min(near, key=lambda name: fmean(scores[name].costs))
    alike = [name for name in near if _about_as_good(scores[name], scores[best])]
    winner = min(alike, key=lambda name: (name not in judged.exportable, len(parts(name))))
    ties = sorted(
        (
            Tie(name, estimate)
            for name in judged.methods
            if name != winner and judged.affordable(name)
            if not (estimate := difference(scores[name], scores[winner])).above_zero
        ),
        key=lambda tie: tie.difference.value,
    )
    chosen_by = _chosen_by(winner, alike, judged.exportable, ties) if ties else None
    return Decision("method", winner, chosen_by, tuple(ties))


def _about_as_good(method: Scores, best: Scores) -> bool:
    """Whether a method's mean cost and a standard error more are within the indifference of the lowest one.

    The mean alone would take a method that is 0.05 nats worse in one of ten studies of eight documents.
    """
    gaps = [own - other for own, other in zip(method.costs, best.costs, strict=True)]
    return fmean(gaps) + stdev(gaps) / sqrt(len(gaps)) <= INDIFFERENCE


def _chosen_by(winner: str, alike: Sequence[str], exportable: AbstractSet[str], ties: Sequence[Tie]) -> ChosenBy:
    """What made the winner of methods that are alike."""
    if len(alike) == 1:  # a tie of a lower mean cost is not surely better than every baseline, or has not read it all
        return "proof" if any(tie.difference.value < 0 for tie in ties) else "cost"
    if winner in exportable and not all(name in exportable for name in alike):
        return "exportable"
    return "simplicity"


def plain_is_decided(judged: Field) -> bool:
    """Whether the plain model needs to read no more documents: the rest could not change that it is behind."""
    if len(judged.plain.loss) == judged.documents:
        return True
    if judged.truncation is None:
        return False
    ahead = [judged.methods[name] for name in judged.worth([judged.truncation])]
    rival = min(ahead, key=lambda scores: fmean(scores.costs), default=judged.truncation)
    return difference(judged.plain, rival).above_zero


def best_exportable(judged: Field) -> str | None:
    """Return the method of lowest cost that stock runtimes express: affordable ones and whole rows come first."""
    found = [name for name in judged.methods if name in judged.exportable]

    def rank(name: str) -> tuple[bool, bool, float]:
        scores = judged.methods[name]
        plain = judged.truncation or judged.plain
        return not judged.affordable(name), len(scores.loss) < judged.documents, difference(scores, plain).value

    return min(found, key=rank, default=None)


def leader(judged: Field) -> str:
    """Return the row of the lowest mean cost, where the documents are too few for a decision: a guess.

    What a method costs on short texts beyond the tolerance counts `PENALTY` times. It does not disqualify: on one
    document, half of the methods that cost about as much as the tolerance are beyond it.
    """
    ahead = judged.truncation is None or difference(judged.plain, judged.truncation).value < 0
    best, lead = "plain" if ahead else "truncation", 0.0
    for name, scores in judged.methods.items():
        excess = _paired(scores.short, judged.plain.short).value - judged.tolerance
        gap = max(difference(scores, base).value for base in judged.baselines) + PENALTY * max(0.0, excess)
        if gap < lead:
            best, lead = name, gap
    return best


def difference(method: Scores, other: Scores) -> Estimate:
    """Return the difference of costs on the documents that both have read: below 0 where the method is better."""
    return _paired(method.costs, other.costs)


def contrast(method: Scores, baseline: Scores, short: Sequence[float]) -> Contrast:
    """Compare a row with a baseline, criterion by criterion.

    Arguments:
        short: loss of the plain model within the trained length, which is the baseline's too.
    """
    pairs = list(zip(method.seconds, baseline.seconds, strict=False))
    timed = bool(pairs) and all(own > 0 and other > 0 for own, other in pairs)
    timed = timed and len(method.devices | baseline.devices) <= 1
    return Contrast(
        loss=_paired(method.loss, baseline.loss),
        facts=_paired(method.facts, baseline.facts),
        short=_paired(method.short, short),
        cost=difference(method, baseline),
        speed=_ratio([log(other / own) for own, other in pairs]) if timed else None,
        shares=_shares(method.facts, baseline.facts),
    )


def _shares(method: Sequence[float], baseline: Sequence[float]) -> tuple[float, float] | None:
    """The mean of each on the documents that both have read, where one of them has read more."""
    count = min(len(method), len(baseline))
    return None if len(method) == len(baseline) else (fmean(method[:count]), fmean(baseline[:count]))


def _ratio(logs: Sequence[float]) -> Estimate:
    """The geometric mean of ratios from their logarithms."""
    found = mean(logs)
    return Estimate(exp(found.value), exp(found.low), exp(found.high), found.documents)


def _paired(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean difference on the documents that both have read."""
    count = min(len(first), len(second))
    return paired(first[:count], second[:count])
