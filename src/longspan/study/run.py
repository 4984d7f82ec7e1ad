"""A study from request to summary: plan, measure the plan's cells, decide, write.

Everything is resumed: what a folder holds is not measured again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longspan.errors import InputError
from longspan.geometry import Geometry
from longspan.grid.dtype import chosen_dtype
from longspan.grid.limits import within_limits
from longspan.grid.observer import Observer
from longspan.grid.pace import Pace
from longspan.measure.device import device_named
from longspan.measure.documents import Document, Library, library
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.machine import hardware, versions
from longspan.measure.measurement import Measurement
from longspan.measure.memory import gigabytes, require_memory
from longspan.measure.method import filled
from longspan.measure.model import LoadedModel
from longspan.measure.record import record_of
from longspan.measure.source import geometry_of
from longspan.study.candidates import candidates
from longspan.study.judgement import summarize
from longspan.study.planning.budget import plan_within
from longspan.study.planning.cells import Cell, measurements
from longspan.study.planning.division import Division, divide, wanted
from longspan.study.planning.plan import FINALISTS, StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import rank
from longspan.study.request import Request
from longspan.study.results import Results
from longspan.study.storing.folder import StudyFolder
from longspan.study.storing.model import write_model
from longspan.study.summary import Setting, Summary

DROPPED_SHOWN = 10
"""How many dropped texts are named one by one."""


def run_study(request: Request, observer: Observer, page: Callable[[Summary], str]) -> Summary:
    """Carry out a study and write its folder.

    Arguments:
        observer: shown what happens.
        page: makes report.html of the summary.

    Errors: LongspanError for what the user can change; what was measured is kept.
    """
    with within_limits(_out_of_memory(request)):
        return _run(request, observer, page)


def _run(request: Request, observer: Observer, page: Callable[[Summary], str]) -> Summary:
    dtype = chosen_dtype(request.dtype, request.folder, request.model, request.paths, request.device)
    model = LoadedModel.load(request.model, dtype, request.device)
    geometry = geometry_of(model.model, request.trained_length)
    request.check_length(geometry)
    memory = require_memory(model.model, request.length, geometry.trained_length)
    model.check_tokenizer()
    methods = _methods(request, geometry)
    for method in methods if request.methods else ():
        model.attach(method)  # a named method that this model cannot have is an error now, not a failed row later
    races = len(methods) > FINALISTS
    texts = library(request.paths, model.tokenizer, request.length, wanted(request.docs, races))
    _report_dropped(texts, observer)
    division = divide(texts, request.docs, request.length, races)
    if len(texts.documents) > texts.files:
        observer.say(f"{len(texts.documents)} documents are parts of {texts.files} files: intervals may be too narrow")
    subject = Subject(request.model, dtype, model.fingerprint, geometry.trained_length, request.length)
    source = "given" if request.trained_length else "max_position_embeddings of its config"
    observer.say(
        f"{request.model}: trained on {geometry.trained_length} tokens ({source}), to read {request.length}; {dtype}, "
        f"about {gigabytes(memory)} beside the model; results in {request.folder}"
    )
    with StudyFolder(request.folder, subject) as folder:
        for loss in folder.records.dropped:
            observer.say(f"dropped {loss}")
        study = _Study(subject, model, folder, observer)
        pace = study.pace(division.judge[0])
        plan = _plan(request, subject, methods, division, pace, observer)
        race = rank(plan, study.results("race", plan.race_cells(), pace), request.tolerance)
        results = study.results("judgement", plan.judgement_cells(race.finalists), pace)
        summary = summarize(plan, race, results, _setting(request, subject, texts, division))
        chosen = summary.winner or (_least_loss(summary) if request.methods else None)
        if chosen is not None:
            written = write_model(folder.folder / "model", request.model, chosen, request.length, model.tokenizer)
            summary = replace(summary, model=str(written))
        folder.write("summary.json", json.dumps(summary.json(), indent=2, allow_nan=False) + "\n")
        folder.write("report.html", page(summary))
    return summary


@dataclass(frozen=True)
class _Study:
    """A subject, its loaded model, the folder that keeps its records, and whoever watches."""

    subject: Subject
    model: LoadedModel
    folder: StudyFolder
    observer: Observer

    def results(self, stage: str, cells: Sequence[Cell], pace: Pace) -> Results:
        """Measure what is missing of a stage, and return the outcomes of its cells."""
        self.measure(stage, measurements(cells), pace)
        return Results(cells, self.folder.record)

    def measure(self, stage: str, asked: Sequence[Measurement], pace: Pace | None) -> None:
        """Make what is missing, one by one."""
        if missing := self.folder.missing(asked):
            self.observer.watch(stage, missing, self._records(missing), pace)

    def _records(self, missing: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
        """Each record is on disk before it is handed out."""
        for asked in missing:
            made = record_of(asked, self.model)
            self.folder.records.append(made)
            yield made

    def pace(self, document: Document) -> Pace:
        """Time two measurements that every plan has: truncation, and the plain model on a whole document.

        Errors: InputError where the plain model fails.
        """
        both = self.subject.ask(Truncation, document), self.subject.ask(Reading, document)
        self.measure("speed", both, None)
        timed = []
        for asked in both:
            record = self.folder.record(asked)
            assert record is not None
            if failed := record.get("failed"):
                raise InputError(
                    f"plain, the model without any method, failed: {failed}; nothing can be compared with it"
                )
            timed.append((asked.readings(), record["seconds"]))
        (short, brief), ((length,), long) = timed
        return Pace.of((short[0], brief / len(short)), (length, long))


def _methods(request: Request, geometry: Geometry) -> tuple[str, ...]:
    """The schemes to try, every number written out."""
    if not request.methods:
        return candidates(geometry, request.length)
    return tuple(dict.fromkeys(filled(text, geometry, request.length) for text in request.methods))


def _report_dropped(texts: Library, observer: Observer) -> None:
    for reason in texts.dropped[:DROPPED_SHOWN]:
        observer.say(f"dropped {reason}")
    if len(texts.dropped) > DROPPED_SHOWN:
        observer.say(f"dropped {len(texts.dropped) - DROPPED_SHOWN} more; summary.json names them all")


def _plan(
    request: Request, subject: Subject, methods: tuple[str, ...], division: Division, pace: Pace, observer: Observer
) -> StudyPlan:
    """What the budget allows."""
    plan = plan_within(60 * request.budget, pace, subject, methods, division.race, division.judge)
    minutes = plan.seconds(pace) / 60
    if plan.left_out:
        observer.say(f"left out, to keep to --budget {request.budget:g}: {'; '.join(plan.left_out)}")
    if minutes > request.budget:
        observer.say(
            f"the shortest plan for {request.docs} documents takes about {minutes:.0f} minutes, more than --budget"
        )
    return plan


def _setting(request: Request, subject: Subject, texts: Library, division: Division) -> Setting:
    return Setting(
        model=request.model,
        trained_length=subject.trained_length,
        length=subject.length,
        dtype=subject.dtype,
        fingerprint=subject.fingerprint,
        tail=subject.tail,
        contexts=tuple(subject.contexts()),
        dropped=texts.dropped,
        files=texts.files,
        seed=subject.seed,
        hardware=hardware(device_named(request.device)),
        versions=versions(),
        command=request.command,
        tolerance=request.tolerance,
        documents=tuple(document.name for document in division.judge),
    )


def _least_loss(summary: Summary) -> str | None:
    """Of methods that were asked for by name, the one to write where none is worth using."""
    gains = {row.method: row.assessment.gain.value for row in summary.measured if row.assessment}
    return min(gains, key=gains.__getitem__) if gains else None


def _out_of_memory(request: Request) -> str:
    return (
        f"out of memory while reading {request.length} tokens; what was measured is kept in {request.folder}: "
        "give a smaller --to, or --dtype bfloat16"
    )
