"""Effective length, as a certificate: "at least 85 % of its short score up to N tokens, at 95 %".

Two claims say what "good enough" means at a length, each about a mean over documents of scores in [0, 1]:

    share r          E[ score(N) − r · score(short) ] > 0        NoLiMa: a share of the model's own score on short texts
    threshold t      E[ score(N) − t ] > 0                       RULER: the same number for all models

Each is proved or refuted by a bettor (`betting`), so that one may look after every document and stop when that decides.
Lengths are taken from the shortest on, and the first that is not proved ends the row. Their number needs no correction:
a false certificate must first prove a false claim at the shortest length where it is false.

Source: Hsieh et al. 2024, "RULER", arXiv:2404.06654; Modarressi et al. 2025, "NoLiMa", arXiv:2502.05167 (r = 0.85);
Maurer, Hothorn & Lehmacher 1995 (tests in a fixed order).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from longspan.errors import InputError
from longspan.measure.statistics.betting import evidence, values_needed
from longspan.measure.statistics.interval import LEVEL

PRECISION = 1e-3


@dataclass(frozen=True)
class Claim(ABC):
    """What a score is asked to exceed.

    Arguments:
        value: the share or the threshold, between 0 and 1.
    """

    value: float

    def __post_init__(self) -> None:
        if not 0 < self.value < 1:
            raise InputError(f"a {type(self).__name__.lower()} must lie between 0 and 1, got {self.value:g}")

    @abstractmethod
    def excess(self, score: float, short: float) -> float:
        """By how much one document exceeds what is asked; at least −value and at most `most`."""

    @property
    @abstractmethod
    def most(self) -> float:
        """The largest excess that a document can have: the narrower its range, the sooner a bettor is sure."""


class Share(Claim):
    """A share of the model's own score on short texts."""

    def excess(self, score: float, short: float) -> float:
        """score − r · short."""
        return score - self.value * short

    @property
    def most(self) -> float:
        """1, where everything is right at this length and nothing on the short text."""
        return 1.0

    def __str__(self) -> str:
        return f"{_percent(self.value)} of the short score"


class Threshold(Claim):
    """A score, the same for all models."""

    def excess(self, score: float, short: float) -> float:
        """score − t."""
        return score - self.value

    @property
    def most(self) -> float:
        """1 − t."""
        return 1 - self.value

    def __str__(self) -> str:
        return f"a score of {_percent(self.value)}"


def _percent(value: float) -> str:
    """Every digit of it: what is proved of 85.6 % must not be said of 86 %.

    >>> _percent(0.856), _percent(0.29), _percent(0.996)
    ('85.6%', '29%', '99.6%')
    """
    return f"{100 * value:.15g}%"


NOLIMA = Share(0.85)
"""The paper's share."""


@dataclass(frozen=True)
class Finding:
    """What is known of a claim at one length.

    Arguments:
        length: tokens.
        verdict: "holds" or "fails", each at the level; else "open".
        score: the mean.
        bound: the largest value of the claim that holds, at the level and however often one looked.
        documents: how many were read.
        needed: about how many like these decide; None where no number of them would.
    """

    length: int
    verdict: Literal["holds", "fails", "open"]
    score: float
    bound: float
    documents: int
    needed: int | None


@dataclass(frozen=True)
class Certificate:
    """Findings by length, the shortest first, and the longest text up to which the claim holds at every length.

    Arguments:
        claim: what was asked.
        level: of confidence, for the certificate as a whole.
    """

    claim: Claim
    level: float
    findings: tuple[Finding, ...]

    @property
    def length(self) -> int | None:
        """The effective length in tokens: every tested length up to it holds; None where the shortest does not."""
        certified = None
        for finding in self.findings:
            if finding.verdict != "holds":
                break
            certified = finding.length
        return certified

    @property
    def decided(self) -> bool:
        """Whether more documents can change nothing: all lengths hold, or the first that does not is refuted."""
        first = next((finding for finding in self.findings if finding.verdict != "holds"), None)
        return first is None or first.verdict == "fails"

    def __str__(self) -> str:
        up_to = "at no tested length" if self.length is None else f"up to {self.length} tokens"
        return f"at least {self.claim} {up_to}, at {_percent(self.level)}"


def certify(
    scores: Mapping[int, Sequence[float]], short: Sequence[float], claim: Claim = NOLIMA, level: float = LEVEL
) -> Certificate:
    """The certificate of a model's scores.

    Arguments:
        scores: by length in tokens, one score in [0, 1] for each document, in the order in which documents were read.
        short: the scores of the same documents on short texts.

    Errors: InputError for no lengths, scores outside [0, 1], and lengths with more documents than `short` has.

    >>> str(certify({1024: [1.0] * 40, 2048: [0.5] * 40}, short=[1.0] * 40))
    'at least 85% of the short score up to 1024 tokens, at 95%'
    """
    if not scores:
        raise InputError("an effective length needs scores at one length at least, got none")
    return Certificate(claim, level, tuple(_finding(n, scores[n], short, claim, level) for n in sorted(scores)))


def beyond_guessing(claim: Claim, short: Sequence[float], guessing: float, level: float = LEVEL) -> bool:
    """Return whether a claim asks for more than guessing scores: surely, if it asks for a share of the short score.

    Who guesses at every length keeps all of a short score that is guessed too; a certificate then says nothing.

    Arguments:
        short: scores of documents on short texts.
        guessing: the score of somebody who guesses.

    >>> beyond_guessing(NOLIMA, [0.25] * 200, 0.25), beyond_guessing(NOLIMA, [1.0] * 200, 0.25)
    (False, True)
    """
    if not isinstance(claim, Share):
        return claim.value > guessing
    least = guessing / claim.value
    if not 0 < least < 1:
        return least <= 0
    return certify({0: short}, short, Threshold(least), level).findings[0].verdict == "holds"


def _finding(length: int, scores: Sequence[float], short: Sequence[float], claim: Claim, level: float) -> Finding:
    if len(scores) > len(short):
        raise InputError(f"{len(scores)} documents have a score at {length} tokens and {len(short)} a short one")
    pairs = list(zip(scores, short, strict=False))
    if any(not 0 <= value <= 1 for pair in pairs for value in pair):
        raise InputError(f"scores at {length} tokens must lie between 0 and 1, got {min(scores):g} … {max(scores):g}")
    excess = [claim.excess(*pair) for pair in pairs]
    missing = [-value for value in excess]
    above, below = (-claim.value, claim.most), (-claim.most, claim.value)
    proof, refutation = evidence(excess, 0.0, *above), evidence(missing, 0.0, *below)
    wanted = 1 / (1 - level)
    verdict = "holds" if proof >= wanted else "fails" if refutation >= wanted else "open"
    needed = values_needed(excess, 0.0, *above, level)
    if needed is None:
        needed = values_needed(missing, 0.0, *below, level)
    mean = sum(scores) / len(scores) if scores else 0.0
    return Finding(length, verdict, mean, _bound(pairs, claim, level), len(pairs), needed)


def _bound(pairs: Sequence[tuple[float, float]], claim: Claim, level: float) -> float:
    """The largest value for which the same kind of claim is proved, to three digits; 0 where none is."""
    low, high = 0.0, 1.0
    while high - low > PRECISION:
        middle = replace(claim, value=(low + high) / 2)
        excess = [middle.excess(*pair) for pair in pairs]
        if evidence(excess, 0.0, -middle.value, middle.most) >= 1 / (1 - level):
            low = middle.value
        else:
            high = middle.value
    return low
