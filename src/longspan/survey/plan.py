"""SurveyPlan: the probes of a survey in the order in which they are made, and what their records say.

Documents come in a fixed order, and each is asked of all methods before the next one. So a survey that is stopped by
its budget has seen the same documents with every method, and what is known after each document may decide a row: no
more is asked then of this method and task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from longspan.measure.corpus.documents import Document
from longspan.measure.models.model import PLAIN
from longspan.measure.reduction import reduction_of
from longspan.measure.scoring.controls import CONTROLS
from longspan.measure.statistics.effective import Certificate, Claim, Share, certify
from longspan.survey.probes import DiagnosticProbe, LossProbe, Probe, TaskProbe

CONTROLLED = 4
"""Documents on which controls are measured: they tell 0 from 1, not 80 % from 85 %."""

Record = Callable[[Probe], Mapping[str, Any] | None]
"""From a probe to its record; None where it was not made."""


@dataclass(frozen=True)
class SurveyPlan:
    """What is asked.

    Arguments:
        model, dtype, fingerprint, trained_length: as in `Probe`.
        methods: the plain model first.
        tasks, losses: names.
        lengths: from the shortest on.
        documents: by length, one for each example, cut to so many tokens; None where no task needs one.
        claim: what "good enough" means.
        diagnostics: texts of diagnostics; each looks at the first documents, as many as controls are measured on.
    """

    model: str
    dtype: str
    fingerprint: str
    trained_length: int
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    losses: tuple[str, ...]
    lengths: tuple[int, ...]
    documents: Mapping[int, tuple[Document | None, ...]]
    claim: Claim
    diagnostics: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of documents or examples."""
        return len(self.documents[self.lengths[-1]])

    def probes(self) -> list[Probe]:
        """Return all that may be asked, in order."""
        found: list[Probe] = []
        for index in range(self.count):
            for method in self.methods:
                found += [self.loss(method, name, n, index) for name in self.losses for n in self.lengths]
                found += [self.task(method, name, n, index) for name in self.tasks for n in self.lengths]
            if index < CONTROLLED:
                found += [
                    self.diagnostic(method, name, n, index)
                    for method in self.methods
                    for name in self.diagnostics
                    for n in self.lengths
                ]
                found += [
                    self.task(method, name, self.lengths[-1], index, control)
                    for method in self.methods
                    for name in self.tasks
                    for control in CONTROLS
                ]
        return found

    def task(self, method: str, name: str, length: int, index: int, control: str = "") -> TaskProbe:
        """Return one example of a task."""
        asked = method, name, length, index, control
        if asked not in self._tasks:
            self._tasks[asked] = TaskProbe(**self._of(method, length, index, length), task=name, control=control)
        return self._tasks[asked]

    def loss(self, method: str, name: str, length: int, index: int) -> LossProbe:
        """Return one reduction of a document."""
        return self._losses[method, name, length, index]

    def diagnostic(self, method: str, name: str, length: int, index: int) -> DiagnosticProbe:
        """Return one look into the model."""
        return DiagnosticProbe(**self._of(method, length, index, length), diagnostic=name)

    @cached_property
    def _tasks(self) -> dict[tuple[str, str, int, int, str], TaskProbe]:
        """All examples that were asked for, each with a key that is made once."""
        return {}

    @cached_property
    def _losses(self) -> Mapping[tuple[str, str, int, int], LossProbe]:
        """All reductions: after every document it is asked again what became of each."""
        return {
            (method, name, n, index): LossProbe(
                **self._of(method, n, index, self.lengths[-1] if reduction_of(name).reads_all else n), loss=name
            )
            for method in self.methods
            for name in self.losses
            for n in self.lengths
            for index in range(self.count)
        }

    def _of(self, method: str, length: int, index: int, read: int) -> dict[str, Any]:
        of_model = {name: getattr(self, name) for name in ("model", "dtype", "fingerprint", "trained_length")}
        return {**of_model, "method": method, "length": length, "index": index, "document": self.documents[read][index]}

    def scores(self, method: str, task: str, length: int, record: Record, before: int | None = None) -> list[float]:
        """Return the scores of the first documents, up to the first one that was not asked about."""
        return [float(result["score"]) for result in self.results(method, task, length, record, before)]

    def results(
        self, method: str, task: str, length: int, record: Record, before: int | None = None
    ) -> list[Mapping[str, Any]]:
        """Return what was found in the first documents, up to the first one that was not asked about."""
        found = []
        for index in range(self.count if before is None else before):
            made = record(self.task(method, task, length, index))
            if made is None or made["result"] is None:
                break
            found.append(made["result"])
        return found

    def certificate(self, method: str, task: str, record: Record, before: int | None = None) -> Certificate | None:
        """Return what is known from the documents before one; None where nothing is, or a score has only itself."""
        short = self.scores(PLAIN, task, self.lengths[0], record, before)
        scores = {n: self.scores(method, task, n, record, before)[: len(short)] for n in self.lengths}
        return self.certified(method, short, scores)

    def certified(
        self, method: str, short: Sequence[float], scores: Mapping[int, Sequence[float]]
    ) -> Certificate | None:
        """Return what scores of the same documents prove; None as in `certificate`."""
        if self.has_only_itself(method):
            return None
        return certify(scores, short, self.claim) if short and all(scores.values()) else None

    def has_only_itself(self, method: str) -> bool:
        """Whether a share of the short score would be one of the very score that is asked about, and say nothing."""
        return isinstance(self.claim, Share) and method == PLAIN and len(self.lengths) == 1

    def failure(self, method: str, task: str, record: Record) -> str | None:
        """Return why a method gave no number somewhere; None where it always did."""
        return _failure(
            record(self.task(method, task, n, i, control))
            for i in range(self.count)
            for n in self.lengths
            for control in ("", *(CONTROLS if n == self.lengths[-1] and i < CONTROLLED else ()))
        )

    def short_failure(self, task: str, record: Record) -> str | None:
        """Return why the plain model gave no short score, with which every method is compared; None where it did."""
        return _failure(record(self.task(PLAIN, task, self.lengths[0], i)) for i in range(self.count))

    def loss_failure(self, method: str, loss: str, record: Record) -> str | None:
        """Return why a method gave no loss somewhere; None where it always did."""
        return _failure(record(self.loss(method, loss, n, i)) for i in range(self.count) for n in self.lengths)


def _failure(records: Any) -> str | None:
    return next((made["failed"] for made in records if made is not None and made.get("failed")), None)
