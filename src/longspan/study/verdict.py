"""Verdict: what to do with a model and long texts, how sure that is, and what was not decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from longspan.measure.statistics.interval import Estimate

Advice = Literal["method", "plain", "truncation", "none"]
"""Use the winner; leave the model as it is; keep the last trained-length tokens; no full verdict."""

ChosenBy = Literal["cost", "proof", "exportable", "simplicity"]
"""Why a method was taken from several that cannot be told apart: lowest mean cost of all, lowest mean cost of those
that surely beat every baseline on all documents, stock runtimes, fewest parts."""


@dataclass(frozen=True)
class Tie:
    """A method that is not surely worse than the winner.

    One that is surely better did not win because it has read too few documents, or does not surely beat a baseline.

    Arguments:
        method: a scheme's text.
        difference: its cost (loss − EXCHANGE · facts) minus the winner's, nats, paired by document.
        judged: whether that is from the judged documents; if not, the race set it aside without sure evidence, and the
            difference is from the documents of the race.
    """

    method: str
    difference: Estimate
    judged: bool = True

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"method": self.method, "difference": self.difference.json(), "judged": self.judged}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Tie":
        """Read its JSON."""
        return cls(found["method"], Estimate.of(found["difference"]), found["judged"])


@dataclass(frozen=True)
class Verdict:
    """What to do.

    Arguments:
        advice: see `Advice`.
        obstacle: why there is no full verdict, as the end of a sentence; None where there is one.
        chosen_by: why the winner was taken from its ties; None where it has none, or there is no winner.
        ties: what is not surely worse than the winner, the lowest difference first.
        undecided: candidates that the budget did not let race; they have read a shorter text, or none.
        exportable: the best of the judged methods that stock runtimes express; None where none of them is.
        leading: the row of the lowest mean cost where too few documents were judged for a verdict, or rows are too near
            to each other for one: a guess.
    """

    advice: Advice
    obstacle: str | None = None
    chosen_by: ChosenBy | None = None
    ties: tuple[Tie, ...] = ()
    undecided: tuple[str, ...] = ()
    exportable: str | None = None
    leading: str | None = None

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "advice": self.advice,
            "obstacle": self.obstacle,
            "chosen_by": self.chosen_by,
            "ties": [tie.json() for tie in self.ties],
            "undecided": list(self.undecided),
            "exportable": self.exportable,
            "leading": self.leading,
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Verdict":
        """Read its JSON."""
        return cls(
            found["advice"],
            found["obstacle"],
            found["chosen_by"],
            tuple(map(Tie.of, found["ties"])),
            tuple(found["undecided"]),
            found["exportable"],
            found.get("leading"),
        )
