"""Cost: what a search makes small, from one reading of each document.

    cost = loss − exchange · facts + penalty · max(0, price + its standard error − tolerance)

loss: of the second half of the text, as far as it lies beyond the trained length, nats; the whole half, because the few
last tokens of few documents say too little. facts: share found of those beyond the trained length, over the documents
that hold some. price: loss within the trained length, minus the plain model's on the same document; its standard error
is added because a search moves to the border of what is allowed, and half of what lies on the border for these
documents is beyond it for others.

A penalty above what any gain is worth keeps the lowest cost within the tolerance, wherever a candidate is within it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Any

from longspan.measure.statistics.racing import EXCHANGE, PENALTY, Score


@dataclass(frozen=True)
class Rating:
    """What a candidate is worth on the search's documents: means over them.

    Arguments:
        method: its text.
        cost: nats; infinite for a candidate that failed.
        loss, facts, price: see above; None for a candidate that failed.
        failed: why there are no numbers.
    """

    method: str
    cost: float
    loss: float | None = None
    facts: float | None = None
    price: float | None = None
    failed: str | None = None

    def json(self) -> dict[str, Any]:
        """Return it as JSON; the cost of a failure is null."""
        return {**vars(self), "cost": None if self.failed else self.cost}


def rate(method: str, scores: Sequence[Score], tolerance: float) -> Rating:
    """Return the rating of a candidate from one score for each document, one of which at least holds far facts.

    >>> rate("yarn", [Score(loss=4.0, facts=0.5, price=0.03)], tolerance=0.02).cost
    3.6
    """
    loss, prices = fmean(s.loss for s in scores), [s.price for s in scores]
    facts = fmean(s.facts for s in scores if s.facts is not None)
    error = stdev(prices) / sqrt(len(prices)) if len(prices) > 1 else 0.0
    excess = max(0.0, fmean(prices) + error - tolerance)
    return Rating(method, loss - EXCHANGE * facts + PENALTY * excess, loss, facts, fmean(prices))


def failure(method: str, why: str) -> Rating:
    """Return the rating of a candidate that failed on a document: worse than every other one."""
    return Rating(method, inf, failed=why)


def score(result: Mapping[str, Any], trained_length: int, short: float) -> Score:
    """Return the score of a reading.

    Arguments:
        result: of `longspan.measure.kinds.reading`.
        short: the plain model's loss within the trained length on the same document.
    """
    return Score(result["second_half"], _facts(result, trained_length), result["short"] - short)


def tail_cost(result: Mapping[str, Any], trained_length: int) -> float | None:
    """Return loss − exchange · facts with the loss of the last tokens, which truncation has as well.

    None for a document that holds no far facts.
    """
    facts = _facts(result, trained_length)
    return None if facts is None else result["loss"] - EXCHANGE * facts


def _facts(result: Mapping[str, Any], trained_length: int) -> float | None:
    """Share found of the facts that are farther back than the trained length; None where there are none."""
    far = [question["right"] for question in result["questions"] if question["distance"] > trained_length]
    return sum(far) / len(far) if far else None
