"""Progress: which probes of a survey are still needed, from records that are looked at once, when they come.

Documents come in a fixed order, and each is asked of all methods before the next one; what is known after each document
may decide a row.
"""

from collections.abc import Mapping
from typing import Any

from longspan.measure.models.model import PLAIN
from longspan.measure.statistics.effective import Certificate
from longspan.survey.plan import Record, SurveyPlan
from longspan.survey.probes import LossProbe, Probe, TaskProbe


class Progress:
    """A survey while it is measured.

    Arguments:
        plan: of the survey.
        record: finds what was measured before.
    """

    def __init__(self, plan: SurveyPlan, record: Record) -> None:
        self._plan = plan
        self._failed: set[tuple[type[Probe], str, str]] = set()
        self._without_short: set[str] = set()
        self._scores: dict[tuple[str, str, int], dict[int, float]] = {}
        self._first: dict[tuple[str, str, int], list[float]] = {}
        self._certificates: dict[tuple[str, str], tuple[tuple[int, ...], Certificate | None]] = {}
        for probe in plan.probes():
            if (found := record(probe)) is not None:
                self.add(probe, found)

    def add(self, probe: Probe, record: Mapping[str, Any]) -> None:
        """Add what was measured."""
        if isinstance(probe, LossProbe):
            if record.get("failed"):
                self._failed.add((LossProbe, probe.method, probe.loss))
        elif isinstance(probe, TaskProbe):
            if record.get("failed"):
                self._failed.add((TaskProbe, probe.method, probe.task))
                if self._is_short(probe):
                    self._without_short.add(probe.task)
            if record["result"] is not None and not probe.control:
                row = probe.method, probe.task, probe.length
                scores, first = self._scores.setdefault(row, {}), self._first.setdefault(row, [])
                scores[probe.index] = float(record["result"]["score"])
                while len(first) in scores:
                    first.append(scores[len(first)])

    def needed(self, probe: Probe) -> bool:
        """Whether what was measured before leaves a probe's answer open."""
        if isinstance(probe, LossProbe):
            return (LossProbe, probe.method, probe.loss) not in self._failed
        if not isinstance(probe, TaskProbe):
            return True
        if self._is_short(probe):  # every method is compared with it, even where the plain model fails at other lengths
            if probe.task in self._without_short:
                return False
            return probe.index == 0 or any(not self._decided(m, probe.task, probe.index) for m in self._plan.methods)
        if (TaskProbe, probe.method, probe.task) in self._failed:
            return False
        if probe.control or probe.index == 0:
            return True
        if self._decided(probe.method, probe.task, probe.index):
            return False
        found = self._certificate(probe.method, probe.task, probe.index)
        failed = [each.length for each in found.findings if each.verdict == "fails"] if found else []
        own = [each for each in found.findings if each.length == probe.length] if found else []
        return all(length > probe.length for length in failed) and all(each.verdict == "open" for each in own)

    def _is_short(self, probe: TaskProbe) -> bool:
        return probe.method == PLAIN and probe.length == self._plan.lengths[0] and not probe.control

    def _decided(self, method: str, task: str, before: int) -> bool:
        if (TaskProbe, method, task) in self._failed or task in self._without_short:
            return True
        found = self._certificate(method, task, before)
        return found is not None and found.decided

    def _certificate(self, method: str, task: str, before: int) -> Certificate | None:
        """What is known from the documents before one, made once for as many scores."""
        lengths = self._plan.lengths
        short = self._first.get((PLAIN, task, lengths[0]), [])[:before]
        scores = {n: self._first.get((method, task, n), [])[: min(before, len(short))] for n in lengths}
        counts = (len(short), *map(len, scores.values()))
        known = self._certificates.get((method, task))
        if known is None or known[0] != counts:
            known = self._certificates[method, task] = counts, self._plan.certified(method, short, scores)
        return known[1]
