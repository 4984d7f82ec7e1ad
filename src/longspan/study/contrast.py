"""Contrast: a method against a baseline, criterion by criterion, on the documents that both have read.

Every number is paired by document: what makes a document hard cancels. A criterion is better or worse where its 95 %
interval excludes "no difference", and the same, as far as was measured, where it does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from longspan.measure.statistics.interval import Estimate

Outcome = Literal["better", "worse", "the same"]


class Criterion(StrEnum):
    """What a method may be better or worse in."""

    LOSS = "loss"
    """Loss of the last tokens at the wanted length."""
    FACTS = "facts"
    """Share of the far facts that are found."""
    SHORT = "short"
    """Loss on short texts, within the trained length."""
    SPEED = "speed"
    """Tokens of text per second."""


@dataclass(frozen=True)
class Contrast:
    """A method minus a baseline.

    Arguments:
        loss: of the last tokens at N, nats per token: negative is better.
        facts: share of the far facts that were found: positive is better.
        short: loss within the trained length, nats per token: negative is better.
        cost: loss − EXCHANGE · facts, nats: what the verdict compares, negative is better; None in older summaries.
        speed: tokens per second, as a multiple of the baseline's: above 1 is better; None in older summaries.
        shares: of the far facts found by the method and by the baseline on the documents that both have read, means
            over these; None where both have read the same documents, and in older summaries.
    """

    loss: Estimate
    facts: Estimate
    short: Estimate
    cost: Estimate | None = None
    speed: Estimate | None = None
    shares: tuple[float, float] | None = None

    def outcome(self, criterion: Criterion) -> Outcome:
        """Return whether the method is better or worse by a criterion, or not surely either."""
        found: Estimate | None = getattr(self, criterion.value)
        if found is None:
            return "the same"
        neutral = 1.0 if criterion is Criterion.SPEED else 0.0
        above, below = found.low > neutral, found.high < neutral
        if not (above or below):
            return "the same"
        return "better" if above == (criterion in (Criterion.FACTS, Criterion.SPEED)) else "worse"

    def which(self, outcome: Outcome) -> tuple[Criterion, ...]:
        """Return the criteria that have an outcome."""
        return tuple(criterion for criterion in Criterion if self.outcome(criterion) == outcome)

    def json(self) -> dict[str, Any]:
        """Return it as JSON, with the outcomes in words."""
        estimates = {name: getattr(self, name) for name in ("loss", "facts", "short", "cost", "speed")}
        found = {name: None if estimate is None else estimate.json() for name, estimate in estimates.items()}
        shares = {} if self.shares is None else {"shares": list(self.shares)}
        return {**found, **shares, "outcomes": {criterion.value: self.outcome(criterion) for criterion in Criterion}}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Contrast":
        """Read its JSON."""
        names = ("loss", "facts", "short", "cost", "speed")
        estimates = {name: Estimate.of(found[name]) for name in names if found.get(name) is not None}
        shares = found.get("shares")
        return cls(**estimates, shares=None if shares is None else (shares[0], shares[1]))


@dataclass(frozen=True)
class Assessment:
    """A method compared with the plain model on short texts, and with truncation on long ones.

    Arguments:
        price: loss within the trained length, minus the plain model's, nats.
        gain: loss at the wanted length, minus truncation's, nats: negative is good.
        retrieval: share retrieved beyond the trained length, minus truncation's.
        affordable: whether the price is within the tolerance.
        beats_in_loss, beats_in_retrieval: whether it beats truncation, by an interval that excludes 0.
    """

    price: Estimate
    gain: Estimate
    retrieval: Estimate
    affordable: bool
    beats_in_loss: bool
    beats_in_retrieval: bool

    @property
    def beats(self) -> bool:
        """Whether it beats truncation in one of the two."""
        return self.beats_in_loss or self.beats_in_retrieval

    def json(self) -> dict[str, Any]:
        """Return it as JSON, as part of a method's row."""
        return {
            "price": self.price.json(),
            "gain": self.gain.json(),
            "retrieval_gain": self.retrieval.json(),
            "affordable": self.affordable,
            "beats_in_loss": self.beats_in_loss,
            "beats_in_retrieval": self.beats_in_retrieval,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Assessment":
        """Read the JSON of a method's row."""
        price, gain, retrieval = (Estimate.of(row[name]) for name in ("price", "gain", "retrieval_gain"))
        return cls(price, gain, retrieval, row["affordable"], row["beats_in_loss"], row["beats_in_retrieval"])


def assess(against: Contrast, tolerance: float) -> Assessment:
    """Assess a method by how it compares with truncation; within the trained length that is the plain model."""
    price, gain, retrieval = against.short, against.loss, against.facts
    return Assessment(price, gain, retrieval, price.value <= tolerance, gain.below_zero, retrieval.above_zero)
