"""Intervals: how far the truth may be from a mean over few documents.

The unit is the document, never the token. Methods are compared by their differences on the same tokens of the same
documents, so that what makes a document hard cancels. For means and mean differences the interval is Student's t: with
8 to 20 documents its coverage is right where differences are roughly normal, while bootstrap intervals, BCa included,
are too narrow at that size. Shares of right answers have Wilson's interval; questions of one document resemble each
other, so their number is first divided by the design effect, and where that is estimated from few documents Student's
t takes the place of the normal's number of standard errors.

Source: Student 1908; Wilson 1927, JASA 22:209; design effect: Kish 1965, "Survey Sampling", section 5.4; Student's t
for shares of clusters: Korn & Graubard 1998, Survey Methodology 24:193.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, sqrt
from typing import Any

from scipy import stats

from longspan.errors import InputError

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over documents with its interval at `LEVEL`.

    Arguments:
        value: the mean.
        low, high: the interval's ends; infinite for one document.
        documents: how many there are.
    """

    value: float
    low: float
    high: float
    documents: int

    @property
    def below_zero(self) -> bool:
        """Whether the interval excludes everything from 0 up."""
        return self.high < 0

    @property
    def above_zero(self) -> bool:
        """Whether the interval excludes everything from 0 down."""
        return self.low > 0

    def json(self) -> dict[str, Any]:
        """Return it as JSON; an infinite end is null."""
        return {name: None if value in (inf, -inf) else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Estimate":
        """Read its JSON."""
        low, high = found["low"], found["high"]
        return cls(found["value"], -inf if low is None else low, inf if high is None else high, found["documents"])


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Return the mean of one value per document, with Student's t interval.

    >>> mean([1.0, 2.0, 3.0])
    Estimate(value=2.0, low=-0.484..., high=4.484..., documents=3)
    """
    count = len(values)
    if count == 0:
        raise InputError("a mean of no documents has no value: give at least one")
    center = sum(values) / count
    if count == 1:
        return Estimate(center, -inf, inf, 1)
    error = sqrt(sum((value - center) ** 2 for value in values) / (count - 1) / count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Estimate(center, center - half, center + half, count)


def paired(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Estimate:
    """Return the mean of first − second, document by document, with its interval."""
    return mean([a - b for a, b in zip(first, second, strict=True)], level)


def share(right: Sequence[float], asked: Sequence[int], level: float = LEVEL) -> Estimate:
    """Return the share of right answers, given right and asked per document, with Wilson's interval.

    A document that was asked nothing is no document of the share.
    """
    right = [found for found, count in zip(right, asked, strict=True) if count]
    asked = [count for count in asked if count]
    total = sum(asked)
    if total == 0:
        raise InputError("a share of no questions has no value: ask at least one")
    value, effect = sum(right) / total, design_effect(right, asked)
    low, high = wilson(value, total / effect, level, len(asked) - 1 if effect > 1 else None)
    return Estimate(value, low, high, len(asked))


def wilson(value: float, count: float, level: float = LEVEL, degrees: int | None = None) -> tuple[float, float]:
    """Return Wilson's interval of a share among `count` (possibly not whole) independent answers.

    Arguments:
        degrees: of freedom of the variance that `count` was estimated from; None where it is known.
    """
    z = float((stats.norm if degrees is None else stats.t(degrees)).ppf((1 + level) / 2))
    center = (value + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(value * (1 - value) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, center - half), min(1.0, center + half)


def design_effect(right: Sequence[float], asked: Sequence[int]) -> float:
    """Return by which factor the variance of the share exceeds that of independent answers: 1 … answers per document.

    The variance between documents is that of a ratio: the sum over documents of (right − share · asked)².
    """
    documents, total = len(asked), sum(asked)
    value = sum(right) / total
    independent = value * (1 - value) / total
    if documents < 2 or independent == 0:
        return 1.0
    residual = sum((r - value * n) ** 2 for r, n in zip(right, asked, strict=True))
    between = residual * documents / (documents - 1) / total**2
    return min(max(1.0, between / independent), total / documents)
