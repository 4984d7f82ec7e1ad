"""The summary of a survey: scores by length, controls, certificates and losses, as frozen values and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from longspan.grid import setting as grid
from longspan.measure.diagnostic import diagnostic_of
from longspan.measure.models.model import PLAIN
from longspan.measure.reduction import reduction_of
from longspan.measure.scoring.controls import CONTROLS
from longspan.measure.statistics.effective import Certificate, beyond_guessing
from longspan.measure.statistics.interval import Estimate, mean, share
from longspan.survey.plan import CONTROLLED, Record, SurveyPlan
from longspan.survey.probes import Probe


@dataclass(frozen=True, kw_only=True)
class Setting(grid.Setting):
    """What was asked, and what answered; `documents` are those that were given.

    Arguments:
        lengths, claim: see `longspan.survey.request.Request`.
        out_of_time: whether the budget ended before everything was decided.
        beginnings: by length, the digests of so many first tokens of the documents, in their order.
        files: how many texts the documents come from; None without texts.
    """

    lengths: tuple[int, ...]
    claim: str
    out_of_time: bool
    beginnings: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    files: int | None = None

    @property
    def caveats(self) -> tuple[str, ...]:
        """What somebody has to know before believing a certificate, a sentence each."""
        count, found = len(self.documents), list[str]()
        if self.files is not None and self.files < count:
            parts = "one file" if self.files == 1 else f"{self.files} files"
            found.append(f"The {count} documents are parts of {parts}: certificates and intervals may claim too much.")
        if self.out_of_time:
            found.append("The budget ended before everything was decided.")
        return tuple(found)


@dataclass(frozen=True)
class TaskRow:
    """One method on one task.

    Arguments:
        scores: by length, means over documents.
        depths: by length and by where in the text the answer is, 0 … 1, means over documents; empty for tasks of one
            question about a text.
        controls: by name, means over the first documents, at the longest length.
        certificate: what is known; None where nothing is.
        failed: why there is no number; None where there are.
        guessing: the score of somebody who guesses among the choices; None where answers are not chosen.
        has_only_itself: whether this is the short score, and the only one of its row.
        stopped: why the plain model gave no short score for the next document, so that no more is asked; None where it
            did.
        beyond_guessing: whether the certificate asks for surely more than guessing scores; None where there is none, or
            answers are not chosen.
    """

    task: str
    method: str
    scores: dict[int, Estimate]
    depths: dict[int, dict[float, Estimate]]
    controls: dict[str, Estimate]
    certificate: Certificate | None
    failed: str | None
    guessing: float | None = None
    has_only_itself: bool = False
    beyond_guessing: bool | None = None
    stopped: str | None = None

    @property
    def sentence(self) -> str:
        """What is known, and what it would take to know more."""
        if self.failed is not None:
            return f"failed: {self.failed}"
        if self.scores and self.has_only_itself:
            return "the short score; give a second --length to see how far it reads, or --threshold"
        if self.certificate is None and self.stopped is not None:
            return f"nothing to compare with: {self._why_stopped}"
        if self.certificate is None:
            return "not measured at every length yet; run the same command again"
        if not any(found.value for found in self.scores.values()):
            return "no right answer at any length: how far it reads does not show in this task"
        found = f"{self.certificate}{self._as_guessing}"
        first = next((each for each in self.certificate.findings if each.verdict != "holds"), None)
        if first is None or first.verdict == "fails":
            return found if first is None else f"{found}; it does not hold at {first.length}"
        if self.stopped is not None:
            return f"{found}; open at {first.length}, and no more is asked: {self._why_stopped}"
        if first.needed is None:
            return f"{found}; open at {first.length}: no number of documents like these {first.documents} would decide"
        return f"{found}; open at {first.length} after {first.documents} documents: about {first.needed} would decide"

    @property
    def _why_stopped(self) -> str:
        return f"the plain model failed at the shortest length: {self.stopped}"

    @property
    def _as_guessing(self) -> str:
        """What a certificate is worth that a guesser would get too, in the middle of a sentence."""
        if self.beyond_guessing is not False or self.certificate is None or self.certificate.length is None:
            return ""
        assert self.guessing is not None
        return f" (which is not surely more than guessing scores, {self.guessing:.2f}, so that it proves nothing)"

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        certificate = self.certificate
        return {
            "task": self.task,
            "method": self.method,
            "scores": {str(length): found.json() for length, found in self.scores.items()},
            "depths": {
                str(length): {f"{depth:g}": found.json() for depth, found in by_depth.items()}
                for length, by_depth in self.depths.items()
            },
            "controls": {name: found.json() for name, found in self.controls.items()},
            "effective_length": certificate.length if certificate else None,
            "decided": certificate.decided if certificate else False,
            "findings": [asdict(each) for each in certificate.findings] if certificate else [],
            "sentence": self.sentence,
            "failed": self.failed,
            "guessing": self.guessing,
            "beyond_guessing": self.beyond_guessing,
        }


@dataclass(frozen=True)
class NumberRow:
    """One method and one number of a text: a reduction of its losses, or a diagnostic.

    Arguments:
        name: of the reduction or the diagnostic, with its settings.
        values: by length, means over documents.
        failed: why there is no number; None where there are.
    """

    name: str
    method: str
    unit: str
    values: dict[int, Estimate]
    failed: str | None

    def json(self, what: str) -> dict[str, Any]:
        """Return it as JSON; `what` it is a number of names its name."""
        values = {str(length): found.json() for length, found in self.values.items()}
        return {what: self.name, "method": self.method, "unit": self.unit, "values": values, "failed": self.failed}


@dataclass(frozen=True)
class Survey:
    """All of it."""

    setting: Setting
    tasks: tuple[TaskRow, ...]
    losses: tuple[NumberRow, ...]
    diagnostics: tuple[NumberRow, ...] = ()

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "setting": asdict(self.setting),
            "tasks": [row.json() for row in self.tasks],
            "losses": [row.json("loss") for row in self.losses],
            "diagnostics": [row.json("diagnostic") for row in self.diagnostics],
        }


def summarize(plan: SurveyPlan, record: Record, setting: Setting) -> Survey:
    """Read the records of a plan."""
    tasks = tuple(_task(plan, record, name, method) for name in plan.tasks for method in plan.methods)
    losses = tuple(_loss(plan, record, name, method) for name in plan.losses for method in plan.methods)
    diagnostics = tuple(_diagnostic(plan, record, name, method) for name in plan.diagnostics for method in plan.methods)
    return Survey(setting, tasks, losses, diagnostics)


def _task(plan: SurveyPlan, record: Record, task: str, method: str) -> TaskRow:
    failed = plan.failure(method, task, record)
    if failed is not None:
        return TaskRow(task, method, {}, {}, {}, None, failed)
    scores = {n: values for n in plan.lengths if (values := plan.scores(method, task, n, record))}
    controls: dict[str, Estimate] = {}
    for name in CONTROLS:
        made = [record(plan.task(method, task, plan.lengths[-1], i, name)) for i in _controlled(plan)]
        found = [each["result"]["score"] for each in made if each is not None]
        if known := [score for score in found if score is not None]:
            controls[name] = _rated(known)
    certificate = plan.certificate(method, task, record)
    means = {n: _rated(values) for n, values in scores.items()}
    results = {n: plan.results(method, task, n, record) for n in plan.lengths}
    depths = {n: found for n in plan.lengths if (found := _by_depth(results[n]))}
    guessing, alone = _guessing(results.values()), plan.has_only_itself(method)
    short = plan.scores(PLAIN, task, plan.lengths[0], record)
    more = None if guessing is None or certificate is None else beyond_guessing(plan.claim, short, guessing)
    stopped = plan.short_failure(task, record)
    return TaskRow(task, method, means, depths, controls, certificate, None, guessing, alone, more, stopped)


def _rated(scores: Sequence[float]) -> Estimate:
    """The mean of scores from 0 to 1, one per document, with Wilson's interval, which stays there.

    It fits answers that are right or wrong; scores between vary less, and for those it is too wide.
    """
    return share(scores, [1] * len(scores))


def _guessing(results: Iterable[Sequence[Mapping[str, Any]]]) -> float | None:
    """The mean over questions of one in as many choices as each has."""
    asked = [question for some in results for result in some for question in result.get("questions", ())]
    return fmean(1 / len(question["scores"]) for question in asked) if asked else None


def _by_depth(results: Sequence[Mapping[str, Any]]) -> dict[float, Estimate]:
    """The mean over documents of the mean score of each document's questions at a depth, where they are several."""
    found: dict[float, list[float]] = {}
    for result in results:
        asked, own = [*result.get("questions", ()), *result.get("prompts", ())], dict[float, list[float]]()
        for each in asked if len(asked) > 1 else ():
            own.setdefault(round(each["depth"], 4), []).append(
                float(each["score"] if "score" in each else each["right"])
            )
        for depth, scores in own.items():
            found.setdefault(depth, []).append(sum(scores) / len(scores))
    return {depth: _rated(found[depth]) for depth in sorted(found)}


def _controlled(plan: SurveyPlan) -> range:
    return range(min(CONTROLLED, plan.count))


def _loss(plan: SurveyPlan, record: Record, loss: str, method: str) -> NumberRow:
    unit, failed = reduction_of(loss).unit, plan.loss_failure(method, loss, record)
    if failed is not None:
        return NumberRow(loss, method, unit, {}, failed)
    probes = {n: [plan.loss(method, loss, n, i) for i in range(plan.count)] for n in plan.lengths}
    return NumberRow(loss, method, unit, _means(probes, record), None)


def _diagnostic(plan: SurveyPlan, record: Record, name: str, method: str) -> NumberRow:
    probes = {n: [plan.diagnostic(method, name, n, i) for i in _controlled(plan)] for n in plan.lengths}
    made = [record(probe) for some in probes.values() for probe in some]
    failed = next((each["failed"] for each in made if each is not None and each.get("failed")), None)
    values = {} if failed else _means(probes, record)
    return NumberRow(name, method, diagnostic_of(name).unit, values, failed)


def _means(probes: Mapping[int, Sequence[Probe]], record: Record) -> dict[int, Estimate]:
    """The mean over documents of what was measured, by length."""
    made = {n: [each for probe in some if (each := record(probe)) is not None] for n, some in probes.items()}
    return {n: mean([each["result"]["value"] for each in some]) for n, some in made.items() if some}
