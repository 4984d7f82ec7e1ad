"""Judgement: the scheme that was found against the best known method, on documents that the search has not seen.

Both read the same documents, so that what makes a document hard cancels. The difference is that of

    loss − exchange · facts      (`longspan.search.cost`, without the penalty)

with Student's interval over documents. The price on short texts and the distance to truncation stand beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from longspan.measure.statistics.interval import Estimate, mean, paired
from longspan.measure.statistics.racing import EXCHANGE, Score
from longspan.study.decision import FEWEST_DOCUMENTS

Verdict = Literal["beats", "does not beat", "too few documents", "nothing found", "failed"]


@dataclass(frozen=True)
class Held:
    """What a method did on the held-out documents, in their order.

    Arguments:
        scores: of the whole text.
        tails: loss of the last tokens minus exchange · facts, as far as truncation can be compared with, nats; of each
            document that holds far facts.
    """

    scores: tuple[Score, ...]
    tails: tuple[float, ...]

    @property
    def costs(self) -> list[float]:
        """Loss minus exchange · facts of each document that holds far facts."""
        return [score.loss - EXCHANGE * score.facts for score in self.scores if score.facts is not None]

    @property
    def facts(self) -> list[float]:
        """Share found of the far facts, of each document that holds some."""
        return [score.facts for score in self.scores if score.facts is not None]


@dataclass(frozen=True)
class Judgement:
    """The comparison; every estimate is a mean over the held-out documents, or over those of them that hold far facts.

    Arguments:
        verdict: what it comes to.
        documents: their names.
        difference: found minus rival, nats: negative is good. None where the search found nothing or a method failed.
        loss, facts: the two parts of the difference.
        price, rival_price: on short texts, against the plain model, nats.
        truncation, rival_truncation: found minus truncation, and rival minus truncation, by the loss of the last tokens
            and the facts, nats; the second is None in older summaries.
        affordable, rival_affordable: whether the price is within the tolerance.
        failed: why there are no numbers.
    """

    verdict: Verdict
    documents: tuple[str, ...]
    difference: Estimate | None = None
    loss: Estimate | None = None
    facts: Estimate | None = None
    price: Estimate | None = None
    rival_price: Estimate | None = None
    truncation: Estimate | None = None
    rival_truncation: Estimate | None = None
    affordable: bool | None = None
    rival_affordable: bool | None = None
    failed: str | None = None

    @property
    def recommends_found(self) -> bool:
        """Whether to use what was found: it beats the rival, and costs short texts too much only if the rival does."""
        return self.verdict == "beats" and (bool(self.affordable) or not self.rival_affordable)

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: each.json() if isinstance(each, Estimate) else each for name, each in vars(self).items()}


def judge(
    documents: Sequence[str], found: Held, rival: Held | None, truncation: Sequence[float], tolerance: float
) -> Judgement:
    """Compare what was found with the rival; no rival where the search found nothing better than it.

    Arguments:
        truncation: of the plain model on the last tokens, as `Held.tails`.
    """
    price = mean([score.price for score in found.scores])
    beside = paired(found.tails, truncation)
    if rival is None:
        return Judgement(
            "nothing found", tuple(documents), price=price, truncation=beside, affordable=price.value <= tolerance
        )
    difference, rival_price = paired(found.costs, rival.costs), mean([score.price for score in rival.scores])
    verdict = "beats" if difference.below_zero else "does not beat"
    return Judgement(
        "too few documents" if difference.documents < FEWEST_DOCUMENTS else verdict,
        tuple(documents),
        difference,
        paired([score.loss for score in found.scores], [score.loss for score in rival.scores]),
        paired(found.facts, rival.facts),
        price,
        rival_price,
        beside,
        paired(rival.tails, truncation),
        price.value <= tolerance,
        rival_price.value <= tolerance,
    )
