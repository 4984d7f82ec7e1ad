"""Summary: everything that a report shows, as values, and their JSON.

`json` writes what `of` reads. Older files, which lack some names, are read as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from longspan.grid import setting as grid
from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.interval import Estimate
from longspan.measure.statistics.racing import Elimination
from longspan.study.contrast import Assessment, Contrast
from longspan.study.decision import FEWEST_DOCUMENTS
from longspan.study.planning.cells import TRUNCATION
from longspan.study.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Setting(grid.Setting):
    """What was measured, on what, with what; `documents` are those that were judged on.

    Arguments:
        length: N, tokens.
        tail: how many last tokens were scored.
        contexts: of the loss, tokens.
        dropped: texts that gave no document, and why.
        files: how many files the documents come from.
        seed: of the facts.
        tolerance: nats per token that a method may cost on short texts.
    """

    length: int
    tail: int
    contexts: tuple[int, ...]
    dropped: tuple[str, ...]
    files: int
    seed: int
    tolerance: float

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        lists = {name: list(getattr(self, name)) for name in ("contexts", "dropped", "documents", "digests")}
        found = {**asdict(self), **lists}
        return found if self.digests else {name: value for name, value in found.items() if name != "digests"}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Setting":
        """Read its JSON."""
        tuples = {name: tuple(found.get(name, ())) for name in ("contexts", "dropped", "documents", "digests")}
        return cls(**{**found, **tuples})


@dataclass(frozen=True)
class FailedRow:
    """A method without numbers.

    Arguments:
        method: a scheme's text, "plain" or "truncation".
        failed: why.
    """

    method: str
    failed: str

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"method": self.method, "failed": self.failed}


@dataclass(frozen=True)
class RaceRow:
    """A method in the race; numbers are means over the documents of the race.

    Arguments:
        method: a scheme's text or "plain".
        loss: over the second half of what was read, nats per token.
        beyond: share of the facts beyond the trained length that were found; None where there are none.
        asked: how many facts were asked for there.
        price: loss within the trained length minus the plain model's, nats; None where the plain model failed.
        tokens_per_second: how fast texts were read.
        costs: loss − EXCHANGE · facts of each document that it has read, the first ones of the race, nats; none in
            older summaries.
    """

    method: str
    loss: float
    beyond: float | None
    asked: int
    price: float | None
    tokens_per_second: float | None
    costs: tuple[float, ...] = ()
    failed: ClassVar[None] = None

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "method": self.method,
            "loss": self.loss,
            "beyond": self.beyond,
            "asked": self.asked,
            "failed": None,
            **({} if self.price is None else {"price": self.price}),
            "tokens_per_second": self.tokens_per_second,
            **({"costs": list(self.costs)} if self.costs else {}),
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "RaceRow | FailedRow":
        """Read its JSON."""
        if found["failed"] is not None:
            return FailedRow(found["method"], found["failed"])
        return cls(
            found["method"],
            found["loss"],
            found["beyond"],
            found.get("asked", 0),
            found.get("price"),
            found["tokens_per_second"],
            tuple(found.get("costs", ())),
        )


@dataclass(frozen=True)
class Race:
    """How the candidates ranked.

    Arguments:
        documents: names of those that were raced on.
        length: tokens read.
        rows: one per method, best first.
        finalists: the methods that were judged.
        eliminated: candidates that left the race: why, by whom, after how many documents; not in older summaries.
        entry: the plain model and all candidates, the most promising first, on a shorter text that decided who raced;
            empty where all did.
        entry_length: tokens of that text.
    """

    documents: tuple[str, ...]
    length: int
    rows: tuple[RaceRow | FailedRow, ...]
    finalists: tuple[str, ...]
    eliminated: tuple[Elimination, ...] = ()
    entry: tuple[RaceRow | FailedRow, ...] = ()
    entry_length: int | None = None

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "documents": list(self.documents),
            "length": self.length,
            "rows": [row.json() for row in self.rows],
            "finalists": list(self.finalists),
            "eliminated": [asdict(each) for each in self.eliminated],
            "entry": [row.json() for row in self.entry],
            "entry_length": self.entry_length,
        }

    @classmethod
    def of(cls, found: Mapping[str, Any], length: int) -> "Race":
        """Read its JSON; `length` is the wanted length, which older races were read to."""
        rows = tuple(RaceRow.of(row) for row in found["rows"])
        eliminated = tuple(Elimination(**each) for each in found.get("eliminated", ()))
        return cls(
            tuple(found["documents"]),
            found.get("length", length),
            rows,
            tuple(found["finalists"]),
            eliminated,
            tuple(RaceRow.of(row) for row in found.get("entry", ())),
            found.get("entry_length"),
        )


@dataclass(frozen=True)
class Found:
    """Facts found in texts of one length.

    Arguments:
        share: of the questions, with its interval.
        right, asked: questions.
    """

    share: Estimate
    right: int
    asked: int

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**self.share.json(), "right": self.right, "asked": self.asked}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Found":
        """Read its JSON."""
        return cls(Estimate.of(found), found["right"], found["asked"])


@dataclass(frozen=True)
class FoundAt:
    """Facts found at one depth of texts of one length.

    Arguments:
        length: tokens.
        depth: 0 … 1.
        right, asked: questions.
    """

    length: int
    depth: float
    right: int
    asked: int


@dataclass(frozen=True)
class WholeTexts:
    """What readings of whole texts say beside loss and retrieval.

    Arguments:
        positions: mean loss in equal parts of the texts, nats; None for a part without a scored token.
        tokens_per_second: of the median reading.
        peak_bytes: the most that the process held.
        cache_bytes: what the cache held in the end, the most of all texts; None in older summaries.
        lost: the shares of far keys and of far values, in squared numbers, that codes did not keep, means over texts;
            None where all keys were kept.
    """

    positions: tuple[float | None, ...]
    tokens_per_second: float
    peak_bytes: int
    cache_bytes: int | None = None
    lost: tuple[float, float] | None = None

    def json(self) -> dict[str, Any]:
        """Return what it costs as JSON."""
        found = {"tokens_per_second": self.tokens_per_second, "peak_bytes": self.peak_bytes}
        more = {"cache_bytes": self.cache_bytes, "lost": None if self.lost is None else list(self.lost)}
        return {**found, **{name: value for name, value in more.items() if value is not None}}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "WholeTexts":
        """Read them from the JSON of a row."""
        lost = found.get("lost")
        speed = found["tokens_per_second"], found["peak_bytes"], found.get("cache_bytes")
        return cls(tuple(found["positions"]), *speed, None if lost is None else (lost[0], lost[1]))


@dataclass(frozen=True)
class MethodRow:
    """A judged method.

    Arguments:
        method: a scheme's text, "plain" or "truncation".
        loss: of the tail by context, nats.
        loss_minus_truncation: paired differences by context, nats; empty where truncation failed.
        retrieval: facts found, by length of the text.
        beyond: share of the facts beyond the trained length that were found at N.
        heat: facts found by length and depth.
        seconds: of the median reading of N tokens; of truncation's end of them.
        whole: of readings of all N tokens; None for truncation.
        assessment: against truncation and the plain model; None for these two, and where one of them failed.
        against: the method against each baseline, "truncation" and "plain", criterion by criterion; for the plain model
            against truncation. Empty in older summaries: see `contrast`.
    """

    method: str
    loss: Mapping[int, Estimate]
    loss_minus_truncation: Mapping[int, Estimate]
    retrieval: Mapping[int, Found]
    beyond: Estimate
    heat: tuple[FoundAt, ...]
    seconds: float
    whole: WholeTexts | None = None
    assessment: Assessment | None = None
    against: Mapping[str, Contrast] = field(default_factory=dict[str, Contrast])
    failed: ClassVar[None] = None

    @property
    def documents(self) -> int:
        """How many documents it read; not every one of them need hold far facts."""
        return max(estimate.documents for estimate in self.loss.values())

    def contrast(self, baseline: str) -> Contrast | None:
        """Return the method against "truncation" or "plain"; None where it was not compared."""
        if baseline in self.against or self.assessment is None or baseline != TRUNCATION:
            return self.against.get(baseline)
        found = self.assessment  # of an older summary; within the trained length, truncation is the plain model
        return Contrast(found.gain, found.retrieval, found.price)

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        row: dict[str, Any] = {"method": self.method, "failed": None, "loss": _estimates(self.loss)}
        if self.loss_minus_truncation:
            row["loss_minus_truncation"] = _estimates(self.loss_minus_truncation)
        row["retrieval"] = {str(length): found.json() for length, found in self.retrieval.items()}
        row["beyond"] = self.beyond.json()
        row["heat"] = [asdict(cell) for cell in self.heat]
        if self.whole is None:
            row["seconds"] = self.seconds
        else:
            row["positions"] = list(self.whole.positions)
            row["seconds"] = self.seconds
            row |= self.whole.json()
        if self.against:
            row["against"] = {name: contrast.json() for name, contrast in self.against.items()}
        return row if self.assessment is None else {**row, **self.assessment.json()}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "MethodRow | FailedRow":
        """Read its JSON."""
        if found["failed"] is not None:
            return FailedRow(found["method"], found["failed"])
        return cls(
            found["method"],
            _read_estimates(found["loss"]),
            _read_estimates(found.get("loss_minus_truncation", {})),
            {int(length): Found.of(each) for length, each in found["retrieval"].items()},
            Estimate.of(found["beyond"]),
            tuple(FoundAt(**cell) for cell in found["heat"]),
            found["seconds"],
            WholeTexts.of(found) if "positions" in found else None,
            Assessment.of(found) if "price" in found else None,
            {name: Contrast.of(each) for name, each in found.get("against", {}).items()},
        )


@dataclass(frozen=True)
class Summary:
    """Everything that a report shows.

    Arguments:
        setting: what was measured.
        race: how the candidates ranked.
        left_out: in plain words, what the budget did not allow.
        judged: whether there is a full verdict; `verdict.obstacle` says why not.
        winner: the method to use; None where nothing is worth using.
        tied: methods that are not surely worse than the winner; `verdict.ties` has the differences.
        methods: truncation, the plain model and the judged methods.
        verdict: what to do, and what was not decided.
        warnings: whole sentences to read before everything else.
        names: methods by the names that the user gave, where these are not the text under which results are stored.
        model: the folder of the extended model; None where none was written.
        written: the method of that model; None in older summaries, where it is the winner.
    """

    setting: Setting
    race: Race
    left_out: tuple[str, ...]
    judged: bool
    winner: str | None
    tied: tuple[str, ...]
    methods: tuple[MethodRow | FailedRow, ...]
    verdict: Verdict
    warnings: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    model: str | None = None
    written: str | None = None

    @property
    def measured(self) -> list[MethodRow]:
        """The methods that have numbers."""
        return [row for row in self.methods if isinstance(row, MethodRow)]

    @property
    def failures(self) -> list[FailedRow]:
        """The methods that have none."""
        return [row for row in self.methods if isinstance(row, FailedRow)]

    @property
    def truncation(self) -> MethodRow | None:
        """The baseline that costs nothing; None where it failed, and where N is within the trained length."""
        return self.row(TRUNCATION)

    @property
    def baseline(self) -> str:
        """What costs nothing: truncation, or the plain model where N is within the trained length."""
        return TRUNCATION if self.setting.length > self.setting.trained_length else PLAIN

    def row(self, method: str | None) -> MethodRow | None:
        """Return the numbers of a method; None where it has none."""
        return next((row for row in self.measured if row.method == method), None)

    def name(self, method: str) -> str:
        """Return what the user calls a method."""
        return self.names.get(method, method)

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "setting": self.setting.json(),
            "race": self.race.json(),
            "left_out": list(self.left_out),
            "judged": self.judged,
            "winner": self.winner,
            "tied": list(self.tied),
            "verdict": self.verdict.json(),
            "warnings": list(self.warnings),
            "names": dict(self.names),
            "methods": [row.json() for row in self.methods],
            "model": self.model,
            "written": self.written,
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Summary":
        """Read its JSON."""
        return cls(
            Setting.of(found["setting"]),
            Race.of(found["race"], found["setting"]["length"]),
            tuple(found["left_out"]),
            found["judged"],
            found["winner"],
            tuple(found.get("tied", ())),
            tuple(MethodRow.of(row) for row in found["methods"]),
            Verdict.of(found["verdict"]) if "verdict" in found else _older_verdict(found),
            tuple(found.get("warnings", ())),
            dict(found.get("names", {})),
            found["model"],
            found.get("written"),
        )


def _older_verdict(found: Mapping[str, Any]) -> Verdict:
    """The verdict of a summary from before there were verdicts."""
    if found["winner"] is not None:
        return Verdict("method")
    if found["judged"]:
        return Verdict("truncation")
    return Verdict("none", few_documents(len(found["setting"]["documents"])) or "the plain model failed")


def few_documents(count: int) -> str | None:
    """Return what is missing where so many documents are too few for a verdict."""
    if count >= FEWEST_DOCUMENTS:
        return None
    were = "document was" if count == 1 else "documents were"
    return f"{count} {were} judged, at least {FEWEST_DOCUMENTS} are needed"


def _estimates(by_context: Mapping[int, Estimate]) -> dict[str, Any]:
    return {str(context): estimate.json() for context, estimate in by_context.items()}


def _read_estimates(found: Mapping[str, Any]) -> dict[int, Estimate]:
    return {int(context): Estimate.of(each) for context, each in found.items()}
