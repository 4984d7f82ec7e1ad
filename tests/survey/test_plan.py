"""What is asked, in which order, and when a row is decided: on records that are made up."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from longspan.measure.corpus.documents import Document
from longspan.measure.record import key_of
from longspan.measure.reduction import reductions
from longspan.measure.scoring.controls import CONTROLS
from longspan.measure.statistics.effective import Share
from longspan.survey.plan import CONTROLLED, Record, SurveyPlan
from longspan.survey.probes import LossProbe, Probe, TaskProbe
from longspan.survey.progress import Progress

LENGTHS = (64, 128, 256)
METHOD = "rerope(window=16)"


def plan(documents: int = 80, losses: tuple[str, ...] = ()) -> SurveyPlan:
    methods, claim = ("plain", METHOD), Share(0.85)
    return SurveyPlan(
        "m",
        "float32",
        "0",
        64,
        methods,
        ("retrieval",),
        losses,
        LENGTHS,
        dict.fromkeys(LENGTHS, (None,) * documents),
        claim,
    )


Made = dict[str, dict[str, Any]]


def reader_of(records: Made) -> Record:
    def record(probe: Probe) -> Mapping[str, Any] | None:
        return records.get(probe.key)

    return record


def carried_out(of: SurveyPlan, score: Callable[[TaskProbe], float | None], begun: Made | None = None) -> Made:
    """The records of a survey of which every score is known; None for a failure."""
    records = dict(begun or {})
    progress = Progress(of, reader_of(records))
    for probe in of.probes():
        if probe.key not in records and progress.needed(probe):
            value = score(probe) if isinstance(probe, TaskProbe) else 0.0
            result = None if value is None else {"score": value, "value": 1.0}
            records[probe.key] = {"probe": probe, "result": result, "failed": "NaN" if value is None else None}
            progress.add(probe, records[probe.key])
    return records


def asked(records: Made, method: str, length: int) -> int:
    probes = [each["probe"] for each in records.values()]
    return sum(isinstance(p, TaskProbe) and not p.control and (p.method, p.length) == (method, length) for p in probes)


def test_documents_come_one_after_the_other_and_the_plain_model_first() -> None:
    probes = plan(6, ("last_k",)).probes()
    assert [probe.index for probe in probes] == sorted(probe.index for probe in probes)
    assert [probe.method for probe in probes if probe.index == 5] == ["plain"] * 6 + [METHOD] * 6
    assert len({probe.key for probe in probes}) == len(probes)
    assert {probe.index for probe in probes if isinstance(probe, TaskProbe) and probe.control} == set(range(CONTROLLED))


def test_arguments_are_all_fields_as_json() -> None:
    """Records of older surveys are found by them."""
    document = Document("a.txt", 3, 256, "0")
    of = replace(plan(3, ("last_k",)), documents=dict.fromkeys(LENGTHS, (None, document, document)))
    for probe in [*of.probes(), of.diagnostic(METHOD, "sink_mass", 64, 1)]:
        assert probe.arguments == json.loads(json.dumps({"kind": probe.kind, **asdict(probe)}))
        assert list(probe.arguments) == ["kind", *asdict(probe)]


def test_a_row_stops_when_its_certificate_is_decided() -> None:
    """The plain model fails beyond its trained length, the method never does."""
    of = plan()
    records = carried_out(of, lambda probe: float(probe.method == METHOD or probe.length == 64))
    found, plain = (of.certificate(method, "retrieval", reader_of(records)) for method in (METHOD, "plain"))
    assert found is not None
    assert plain is not None
    assert (found.length, plain.length) == (256, 64)
    assert found.decided
    assert plain.decided
    assert asked(records, "plain", 128) < asked(records, METHOD, 256) < 80
    assert asked(records, "plain", 64) >= asked(records, METHOD, 256)  # the short score of the same documents
    assert asked(records, "plain", 256) <= asked(records, "plain", 128)  # 128 fails, so that 256 decides nothing


def test_what_stays_open_is_asked_to_the_end() -> None:
    records = carried_out(plan(12), lambda probe: float(probe.index % 2))
    assert [asked(records, METHOD, n) for n in LENGTHS] == [12, 12, 12]


def test_a_method_that_failed_is_asked_no_more_and_the_others_are() -> None:
    of = plan(12)
    records = carried_out(of, lambda probe: None if (probe.method, probe.length) == (METHOD, 128) else 1.0)
    assert of.failure(METHOD, "retrieval", reader_of(records)) == "NaN"
    assert of.failure("plain", "retrieval", reader_of(records)) is None
    assert [asked(records, METHOD, n) for n in LENGTHS] == [1, 1, 0]
    assert asked(records, "plain", 128) == 12


def test_where_the_plain_model_fails_at_a_longer_length_methods_are_still_decided() -> None:
    """Its short score, with which they are compared, is asked on with them."""
    of = plan(40)
    records = carried_out(of, lambda probe: None if (probe.method, probe.length) == ("plain", 256) else 1.0)
    assert of.failure("plain", "retrieval", reader_of(records)) == "NaN"
    found = of.certificate(METHOD, "retrieval", reader_of(records))
    assert found is not None
    assert found.decided
    assert [asked(records, "plain", n) for n in LENGTHS[1:]] == [1, 1]
    assert asked(records, "plain", 64) == max(asked(records, METHOD, n) for n in LENGTHS) > 1


def test_where_the_plain_model_fails_at_the_shortest_length_no_more_is_asked_of_anybody() -> None:
    of = plan(40)
    last = 3
    records = carried_out(
        of, lambda probe: None if (probe.method, probe.length, probe.index) == ("plain", 64, last) else 1.0
    )
    assert of.short_failure("retrieval", reader_of(records)) == "NaN"
    assert [asked(records, METHOD, n) for n in LENGTHS] == [last] * 3


def test_a_key_is_made_once_however_often_a_record_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr("longspan.survey.probes.key_of", lambda given: made.append(given) or key_of(given))
    of = plan(12)
    carried_out(of, lambda probe: float(probe.index % 2))
    assert len(made) == len(of.probes())


def test_a_length_that_is_decided_is_asked_no_more_while_a_longer_one_is_open() -> None:
    of = plan(60)
    records = carried_out(of, lambda probe: 1.0 if probe.length < 256 else float(probe.index % 8 != 0))
    assert asked(records, METHOD, 256) == 60
    for length in (64, 128):
        last = asked(records, METHOD, length)
        assert 1 < last < 60
        assert verdict(of, records, length, last - 1) == "open"
        assert verdict(of, records, length, last) == "holds"


def verdict(of: SurveyPlan, records: Made, length: int, documents: int) -> str:
    """What the first documents say of the method at a length."""
    found = of.certificate(METHOD, "retrieval", reader_of(records), documents)
    assert found is not None
    (verdict,) = (finding.verdict for finding in found.findings if finding.length == length)
    return verdict


def test_controls_are_asked_of_four_documents_at_the_longest_length() -> None:
    records = carried_out(plan(6), lambda probe: 1.0)
    controls = [each["probe"] for each in records.values() if each["probe"].control]
    assert sorted({probe.index for probe in controls}) == [0, 1, 2, 3]
    assert {probe.length for probe in controls} == {256}
    assert len(controls) == 2 * 4 * len(CONTROLS)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_method_whose_control_failed_is_asked_no_more(control: str) -> None:
    """A number beside which the control is missing could not be read."""
    of = plan(12)
    records = carried_out(
        of, lambda probe: None if (probe.method, probe.control, probe.index) == (METHOD, control, 1) else 1.0
    )
    assert of.failure(METHOD, "retrieval", reader_of(records)) == "NaN"
    assert asked(records, METHOD, 64) == 2
    assert asked(records, "plain", 64) == 12


def test_losses_are_asked_of_every_document() -> None:
    records = carried_out(plan(5, ("last_k",)), lambda probe: 1.0)
    assert sum(isinstance(each["probe"], LossProbe) for each in records.values()) == 5 * 2 * 3


@pytest.mark.parametrize("kept", [1, 7, 30])
def test_an_interrupted_survey_makes_the_records_of_a_whole_one(kept: int) -> None:
    def score(probe: TaskProbe) -> float:
        return float(probe.length == 64)

    whole = carried_out(plan(30), score)
    assert list(carried_out(plan(30), score, dict(list(whole.items())[:kept]))) == list(whole)


def of_texts(lengths: tuple[int, ...]) -> SurveyPlan:
    """A plan whose documents are cut to each length, as a survey cuts them."""
    documents = {n: tuple(Document(f"{i}.txt", 0, n, f"{i}/{n}") for i in range(3)) for n in lengths}
    losses = tuple(reductions())
    return SurveyPlan("m", "float32", "0", 64, ("plain",), ("retrieval",), losses, lengths, documents, Share(0.85))


def test_a_longer_length_asks_nothing_again_but_what_reads_all_of_a_text() -> None:
    """The last tokens of a longer text are other tokens."""
    before, after = ({probe.key: probe for probe in of_texts(n).probes()} for n in ((64, 128), (64, 128, 256)))
    lost = [probe for key, probe in before.items() if key not in after]
    reading_all = {"last_k", "sliding", "non_overlapping"}
    assert {probe.loss for probe in lost if isinstance(probe, LossProbe)} == reading_all
    assert {probe.control for probe in lost if isinstance(probe, TaskProbe)} == set(CONTROLS)  # of the longest length
    assert {name for name, made in reductions().items() if made.reads_all} == reading_all
