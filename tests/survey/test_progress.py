"""What is still needed follows from the records alone, each of which is looked at once."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from longspan.measure.statistics.effective import NOLIMA
from longspan.survey.plan import SurveyPlan
from longspan.survey.probes import Probe, TaskProbe
from longspan.survey.progress import Progress

LENGTHS: tuple[int, ...] = (64, 128)


def plan(count: int) -> SurveyPlan:
    documents: dict[int, tuple[None, ...]] = dict.fromkeys(LENGTHS, (None,) * count)
    return SurveyPlan("m", "f", "0", 64, ("plain", "yarn"), ("retrieval",), (), LENGTHS, documents, NOLIMA)


@pytest.mark.parametrize(("right", "fails"), [(1.0, 0.0), (0.97, 0.0), (1.0, 0.01)])
def test_what_is_needed_is_what_somebody_would_say_who_begins_with_the_same_records(right: float, fails: float) -> None:
    """Records of an earlier run among them, of any documents: a row is decided after the same one."""
    of, draw = plan(45), random.Random(1)
    records: dict[str, Mapping[str, Any]] = {}

    def answer() -> dict[str, Any]:
        failed = draw.random() < fails
        return {"result": None, "failed": "NaN"} if failed else {"result": {"score": float(draw.random() < right)}}

    def record(probe: Probe) -> Mapping[str, Any] | None:
        return records.get(probe.key)

    records |= {probe.key: answer() for probe in of.probes() if draw.random() < 0.3}
    progress, said = Progress(of, record), set[bool]()
    for probe in of.probes():
        needed = progress.needed(probe)
        if isinstance(probe, TaskProbe) and not probe.control and (probe.method, probe.length) != ("plain", 128):
            assert needed == Progress(of, record).needed(probe)
            said.add(needed)
        if needed and probe.key not in records:
            records[probe.key] = answer()
            progress.add(probe, records[probe.key])
    assert said == {True, False}


def test_records_are_looked_up_once() -> None:
    of, looked = plan(40), list[Probe]()
    progress = Progress(of, looked.append)
    assert looked == of.probes()
    for probe in of.probes():
        if progress.needed(probe):
            progress.add(probe, {"result": {"score": float(probe.index % 2)}})
    assert looked == of.probes()
