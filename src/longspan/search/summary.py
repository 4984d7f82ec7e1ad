"""Summary of a search: what it started from, what it found, and what unseen documents say."""

from dataclasses import dataclass
from typing import Any

from longspan.grid import setting as grid
from longspan.measure.statistics.interval import Estimate
from longspan.search.cost import Rating
from longspan.search.judgement import Judgement
from longspan.study.decision import FEWEST_DOCUMENTS


@dataclass(frozen=True, kw_only=True)
class Setting(grid.Setting):
    """What was searched, and on what; `documents` are those that were searched on.

    Arguments:
        over, seed: what was searched, and the seed of the candidates.
        length: N, tokens.
        tolerance: nats.
        dropped: files that gave no document, and why.
    """

    over: str
    seed: int
    length: int
    tolerance: float
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Trajectory:
    """The way of a search.

    Arguments:
        candidates: how many were measured.
        best: the lowest cost so far, after the starts and after each batch, nats.
        failed: how many candidates failed, by the reason.
        converged: whether the search ended by itself, and not because of the budget.
    """

    candidates: int
    best: tuple[float, ...]
    failed: dict[str, int]
    converged: bool


@dataclass(frozen=True)
class Summary:
    """What a search says.

    Arguments:
        setting: see there.
        known: the methods that it started from and those that it is compared with, on the search's documents.
        trajectory: see there.
        found: the candidate of the lowest cost on the search's documents; one of the starts where none is better.
        rival: the known method that it is compared with, the best on the search's documents.
        judgement: on documents that the search has not seen.
        model: the folder of the model with the scheme that is recommended.
    """

    setting: Setting
    known: tuple[Rating, ...]
    trajectory: Trajectory
    found: Rating
    rival: Rating
    judgement: Judgement
    model: str | None = None

    @property
    def recommended(self) -> str:
        """The scheme to use: the rival, unless what was found beats it."""
        return self.found.method if self.judgement.recommends_found else self.rival.method

    @property
    def sentence(self) -> str:
        """The verdict in words, and how what is recommended compares with truncation."""
        return " ".join([self._verdict, *self._beside_truncation])

    @property
    def _beside_truncation(self) -> list[str]:
        """How the recommended scheme compares with what needs none; empty where that was not measured."""
        own = self.recommended == self.found.method
        found = self.judgement.truncation if own else self.judgement.rival_truncation
        if found is None:
            return []
        name = "the found scheme" if own and self.found.method != self.rival.method else self.recommended
        last = f"the last {self.setting.trained_length} tokens"
        outcome = "better" if found.below_zero else "worse" if found.above_zero else "the same within chance"
        outcome = "not judged on so few documents" if found.documents < FEWEST_DOCUMENTS else outcome
        said = (
            f"Compared with truncation, the plain model on {last}, {name} is {outcome}: {_signed(found)} nats, by the "
            "loss of the last tokens and the facts."
        )
        return [said, f"Keep {last} instead."] if outcome == "worse" else [said]

    @property
    def _verdict(self) -> str:
        judged, rival = self.judgement, self.rival.method
        count = len(judged.documents) if judged.difference is None else judged.difference.documents
        unseen = f"on {count} documents that the search has not seen"
        if judged.verdict == "failed":
            return f"No verdict: {judged.failed}."
        if judged.difference is None:
            return f"The search found nothing better than {rival} on its own documents."
        gap = f"{_signed(judged.difference)} nats"
        said = {
            "beats": f"The found scheme beats {rival} {unseen}: {gap}.",
            "does not beat": f"The found scheme does not beat {rival} {unseen}: {gap}.",
            "too few documents": f"No verdict {unseen}, which are too few: {gap} against {rival}.",
        }[judged.verdict]
        if judged.affordable is False and judged.price is not None:
            said += (
                f" It costs {judged.price.value:+.3f} nats on short texts, more than --tolerance "
                f"{self.setting.tolerance:g}."
            )
        return said

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "setting": vars(self.setting),
            "known": [rating.json() for rating in self.known],
            "trajectory": vars(self.trajectory),
            "found": self.found.json(),
            "rival": self.rival.json(),
            "judgement": self.judgement.json(),
            "sentence": self.sentence,
            "recommended": self.recommended,
            "model": self.model,
        }


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} (95 % interval {estimate.low:+.3f} to {estimate.high:+.3f})"
