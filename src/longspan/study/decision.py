"""Decision: which method to use, if any, from the judged documents.

The baseline is truncation: the plain model on the last trained-length tokens, which costs nothing. A method is worth
using when
1. it raises the loss within the trained length by at most the tolerance, against the plain model,
2. it beats truncation at the wanted length: in the loss of the same last tokens, or in retrieval of facts that are
   beyond the trained length, by a 95 % interval over documents that excludes 0.
The winner has the lowest loss at the wanted length among these; where the paired difference to the lowest has an
interval that includes 0, they are tied and the one that retrieves more beyond the trained length wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longspan.measure.interval import Estimate, paired

FEWEST_DOCUMENTS = 8
TOLERANCE = 0.02


@dataclass(frozen=True)
class Scores:
    """The scores of a method on the judged documents, one number per document, in the same order for every method.

    Arguments:
        loss: of the last tokens at the wanted length, nats.
        short: loss within the trained length, nats.
        beyond: share of facts beyond the trained length that were retrieved at the wanted length.
    """

    loss: Sequence[float]
    short: Sequence[float]
    beyond: Sequence[float]


@dataclass(frozen=True)
class Assessment:
    """A method compared with the plain model and with truncation.

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


def assess(
    method: Scores, plain_short: Sequence[float], truncation: Scores, tolerance: float = TOLERANCE
) -> Assessment:
    """Compare a method with the plain model within the trained length, and with truncation, on the same documents."""
    price = paired(method.short, plain_short)
    gain = paired(method.loss, truncation.loss)
    retrieval = paired(method.beyond, truncation.beyond)
    return Assessment(price, gain, retrieval, price.value <= tolerance, gain.below_zero, retrieval.above_zero)


def tied(scores: Mapping[str, Scores], assessments: Mapping[str, Assessment]) -> list[str]:
    """Return the method to use, and after it the others whose loss is not surely higher than the lowest.

    Empty where nothing beats truncation at a tolerable price.
    """
    worth = [name for name, found in assessments.items() if found.affordable and found.beats]
    if not worth:
        return []

    def average(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    best = min(worth, key=lambda name: average(scores[name].loss))
    near = [name for name in worth if not paired(scores[name].loss, scores[best].loss).above_zero]
    return sorted(near, key=lambda name: (-average(scores[name].beyond), average(scores[name].loss)))
