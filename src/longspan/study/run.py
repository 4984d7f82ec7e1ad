"""A study from request to summary: plan, measure the plan's cells, decide, write.

Everything is resumed: what a folder holds is not measured again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

from longspan.errors import InputError, LongspanError
from longspan.geometry import Geometry
from longspan.grid.dtype import chosen_dtype
from longspan.grid.limits import within_limits
from longspan.grid.making import Workers, made
from longspan.grid.observer import Observer
from longspan.grid.on_ray import Source, workers_for
from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document, Library, library
from longspan.measure.hardware.memory import gigabytes, require_memory
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.models.source import geometry_of
from longspan.pretrained.storing.runtimes import runtime_flags
from longspan.study.candidates import candidates, named, recipes
from longspan.study.decision import plain_is_decided
from longspan.study.judgement import field_of, summarize
from longspan.study.planning.budget import OVERRUN, full_plan, plan_within, shortest_verdict
from longspan.study.planning.cells import Cell, measurements
from longspan.study.planning.division import Division, divide, wanted
from longspan.study.planning.far import race_on_far_facts, require_far_facts
from longspan.study.planning.plan import FINALISTS, StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.race import Heats
from longspan.study.request import Request
from longspan.study.results import Results
from longspan.study.storing.folder import StudyFolder
from longspan.study.storing.model import write_model
from longspan.study.summary import Setting, Summary, few_documents

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
    memory = require_memory(model.model, request.length, geometry.trained_length)
    model.check_tokenizer()
    methods, names = _methods(request, geometry)
    exportable = _exportable(model, methods, request.length)
    for method in methods if request.methods else ():
        model.attach(method)  # a named method that this model cannot have is an error now, not a failed row later
    model.attach(PLAIN)
    follows_length = model.reader.shared_length() is not None
    races = len(methods) > FINALISTS
    texts = library(request.paths, model.tokenizer, request.length, wanted(request.docs, races))
    _report_dropped(texts, observer)
    division = divide(texts, request.docs, request.length, races)
    subject = Subject(request.model, dtype, model.fingerprint, geometry.trained_length, request.length)
    far = require_far_facts(subject, division.judge, model.tokenizer, model.opening)
    near = tuple(document for document in division.judge if document not in far)
    division = replace(division, judge=(*far, *near))  # so that the first ones, which all rows read, hold far facts
    source = "given" if request.trained_length else "by its config"
    observer.say(
        f"{request.model}: trained on {geometry.trained_length} tokens ({source}), to read {request.length}; {dtype}, "
        f"about {gigabytes(memory)} beside the model; results in {request.folder}"
    )
    if near:
        observer.say(
            f"{len(far)} of {len(division.judge)} documents hold facts farther back than {subject.trained_length} "
            "tokens: facts and costs are compared on these only"
        )
    with (
        StudyFolder(request.folder, subject) as folder,
        workers_for(model, Source(request.model, dtype, request.device), request.ray) as workers,
    ):
        for loss in folder.records.dropped:
            observer.say(f"dropped {loss}")
        study = _Study(subject, workers, folder, observer)
        pace = study.pace(division.judge[0]).shared(workers.count)
        plan = _plan(request, subject, methods, division, pace, observer, exportable, follows_length)
        plan = race_on_far_facts(plan, model.tokenizer, model.opening)
        setting = _setting(request, subject, texts, plan, division.files)
        summary = conduct(plan, setting, model.reader.vocabulary, partial(study.results, pace=pace), observer)
        summary = replace(summary, names=names)
        chosen = summary.winner or (_best_named(summary) if request.methods else None)
        if chosen is not None:
            reach = max(request.length, geometry.trained_length)
            _publish(
                folder, summary, page
            )  # before the model: a disk that is too small for that must not take the verdict
            try:
                written = write_model(
                    folder.folder / "model", request.model, chosen, reach, model.tokenizer, observer.say
                )
            except InputError as error:
                raise InputError(f"{error}; the verdict is in {folder.folder / 'report.html'}") from error
            summary = replace(summary, model=str(written), written=chosen)
        _publish(folder, summary, page)
    return summary


def _publish(folder: StudyFolder, summary: Summary, page: Callable[[Summary], str]) -> None:
    folder.write("summary.json", json.dumps(summary.json(), indent=2, allow_nan=False) + "\n")
    folder.write("report.html", page(summary))


def conduct(
    plan: StudyPlan,
    setting: Setting,
    vocabulary: int,
    results: Callable[[str, Sequence[Cell]], Results],
    observer: Observer,
) -> Summary:
    """Race, judge and decide: a pure function of the plan and of what its cells give.

    Arguments:
        setting: what is measured, for the summary.
        vocabulary: tokens of the model.
        results: measures the cells of a stage.
        observer: shown what the race leaves, and what has to be measured beyond the plan.
    """
    heats = Heats(plan, setting.tolerance)
    while cells := heats.next():
        heats.add(results(heats.stage, cells))
    race = heats.summary()
    found = results("judgement", plan.judgement_cells(race.finalists))
    field = field_of(plan, race, found, setting.tolerance)
    if field is not None and not few_documents(len(plan.judge)) and not plain_is_decided(field):
        observer.say(
            f"the plain model is not surely behind after {len(plan.whole)} documents: it reads all {len(plan.judge)}"
        )
        plan = replace(plan, whole=plan.judge)
        found = results("judgement of the plain model", plan.judgement_cells(race.finalists))
    return summarize(plan, race, found, setting, vocabulary)


@dataclass(frozen=True)
class _Study:
    """A subject, who measures, the folder that keeps the records, and whoever watches."""

    subject: Subject
    workers: Workers
    folder: StudyFolder
    observer: Observer

    def results(self, stage: str, cells: Sequence[Cell], pace: Pace) -> Results:
        """Measure what is missing of a stage, and return the outcomes of its cells."""
        self.measure(stage, measurements(cells), pace)
        return Results(cells, self.folder.record)

    def measure(self, stage: str, asked: Sequence[Measurement], pace: Pace | None) -> None:
        """Make what is missing, in order."""
        if missing := self.folder.missing(asked):
            self.observer.watch(stage, missing, self._records(missing), pace)

    def _records(self, missing: Sequence[Measurement]) -> Iterator[dict[str, Any]]:
        """Each record is on disk before it is handed out."""
        for _, record in made(self.workers, missing):
            assert record is not None
            self.folder.records.append(record)
            yield record

    def pace(self, document: Document) -> Pace:
        """Time two measurements of the plain model: truncation, or half the text where nothing is cut, and the whole.

        Errors: InputError where the plain model fails.
        """
        half = self.subject.ask(Context, document, context=self.subject.contexts()[0])
        short = half if self.subject.within else self.subject.ask(Truncation, document)
        both = short, self.subject.ask(Reading, document)
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
        (parts, brief), ((length,), long) = timed
        return Pace.of((parts[0], brief / len(parts)), (length, long))


def _methods(request: Request, geometry: Geometry) -> tuple[tuple[str, ...], dict[str, str]]:
    """The schemes to try, every number written out, and those that have a name of their own, with that name."""
    if not request.methods:
        return candidates(geometry, request.length), recipes(geometry, request.length)
    found = named(request.methods, geometry, request.length)
    return tuple(found), {text: given for text, given in found.items() if given != text}


def _exportable(model: LoadedModel, methods: Sequence[str], length: int) -> frozenset[str]:
    """The methods that the flags of some stock runtime express on this model."""

    def expressed(method: str) -> bool:
        try:
            return any(each.flags for each in runtime_flags(model.model.config, method, length))
        except LongspanError:
            return False

    return frozenset(filter(expressed, methods))


def _report_dropped(texts: Library, observer: Observer) -> None:
    for reason in texts.dropped[:DROPPED_SHOWN]:
        observer.say(f"dropped {reason}")
    if len(texts.dropped) > DROPPED_SHOWN:
        observer.say(f"dropped {len(texts.dropped) - DROPPED_SHOWN} more; summary.json names them all")


def _plan(
    request: Request,
    subject: Subject,
    methods: tuple[str, ...],
    division: Division,
    pace: Pace,
    observer: Observer,
    exportable: frozenset[str],
    follows_length: bool,
) -> StudyPlan:
    """What the budget allows."""
    asked = subject, methods, division.race, division.judge, exportable, follows_length
    plan, full = plan_within(60 * request.budget, pace, *asked), full_plan(*asked)
    minutes = plan.seconds(pace) / 60
    observer.say(f"planned, about {_minutes(minutes)}: {plan.outline}")
    if plan.left_out:
        observer.say(f"left out, to keep to --budget {request.budget:g}: {'; '.join(plan.left_out)}")
    if minutes > request.budget:
        one = pace.seconds(subject.ask(Reading, division.judge[0]))
        observer.say(
            f"that is more than --budget {request.budget:g}: to read {subject.length} tokens once takes about "
            f"{one:.2g} seconds, and no study is shorter"
        )
    if len(plan.judge) < len(full.judge):
        least = shortest_verdict(full).seconds(pace) / 60
        observer.say(f"a verdict takes about {_minutes(least)}: give --budget {ceil(least / OVERRUN):g} or more")
    return plan


def _minutes(minutes: float) -> str:
    return "1 minute" if round(minutes) == 1 else f"{minutes:.0f} minutes" if minutes > 1 else f"{60 * minutes:.0f} s"


def _setting(request: Request, subject: Subject, texts: Library, plan: StudyPlan, files: int) -> Setting:
    return Setting.of_this_machine(
        request,
        subject,
        plan.judge,
        length=subject.length,
        tail=subject.tail,
        contexts=tuple(subject.contexts()),
        dropped=texts.dropped,
        files=files,
        seed=subject.seed,
        tolerance=request.tolerance,
    )


def _best_named(summary: Summary) -> str | None:
    """Of methods that were asked for by name, the one to write where none is worth using: that of the lowest cost."""
    costs = {
        row.method: found.cost.value
        for row in summary.measured
        if row.method != PLAIN and (found := row.against.get(summary.baseline)) and found.cost
    }
    return min(costs, key=costs.__getitem__) if costs else None


def _out_of_memory(request: Request) -> str:
    return (
        f"out of memory while reading {request.length} tokens; what was measured is kept in {request.folder}: "
        "give a smaller --to, or --dtype bfloat16"
    )
