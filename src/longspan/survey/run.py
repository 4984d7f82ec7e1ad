"""A survey from request to summary: plan, measure the plan's probes, read them.

Everything is resumed: what a folder holds is not measured again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from longspan import bundled
from longspan.errors import InputError
from longspan.grid.dtype import chosen_dtype
from longspan.grid.limits import within_limits
from longspan.grid.making import Workers, made
from longspan.grid.observer import Observer
from longspan.grid.on_ray import Source, workers_for
from longspan.measure.corpus.documents import Document, digest, library
from longspan.measure.diagnostic import diagnostic_of
from longspan.measure.hardware.memory import gigabytes, require_memory
from longspan.measure.models.method import filled
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.models.source import geometry_of
from longspan.measure.reduction import Text, reduction_of
from longspan.measure.scoring.examining import check_known
from longspan.notation import parse
from longspan.survey.folder import SurveyFolder
from longspan.survey.harness.files import write_tasks
from longspan.survey.plan import SurveyPlan
from longspan.survey.probes import Probe, material_of, subject_of
from longspan.survey.progress import Progress
from longspan.survey.request import Request
from longspan.survey.summary import Setting, Survey, summarize
from longspan.task import Material, task_of

MULTIPLES = (1, 2, 4)
"""Lengths by default, in trained lengths."""

DROPPED_SHOWN = 10
"""How many dropped texts are named where there are too few."""

TRIED = 2**18
"""Tokens of examples, about, that are made of each task before anything is measured."""

TRIAL = 16
"""Tokens on which each diagnostic is tried before anything is measured."""

OF_A_MEMORY = ("cache_size", "memory_distortion")
"""Diagnostics that are made without being asked for where a method has a memory: what it saves, and what it costs."""

Pages = Callable[[Survey], dict[str, str]]
"""From a summary to the other files of its folder: text by name."""


def run_survey(request: Request, observer: Observer, pages: Pages) -> Survey:
    """Carry out a survey and write its folder.

    Arguments:
        observer: shown what happens.
        pages: makes the files beside summary.json.

    Errors: LongspanError for what the user can change; what was measured is kept.
    """
    with within_limits(_out_of_memory(request)):
        return _run(request, observer, pages)


def write_for_harness(request: Request, observer: Observer, folder: Path) -> tuple[str, ...]:
    """Write the tasks of a survey as files of lm-evaluation-harness, measure nothing, and return their names there.

    Errors: InputError as of `run_survey`, and for a task that is not answered in writing.
    """
    model, plan, _ = _planned(request, observer)
    return write_tasks(plan, model, folder)


def _planned(request: Request, observer: Observer) -> tuple[LoadedModel, SurveyPlan, int]:
    """The model, what it is asked, and the bytes that this takes beside the model."""
    texts = request.paths or bundled.documents()
    dtype = chosen_dtype(request.dtype, request.folder, request.model, texts, request.device)
    model = LoadedModel.load(request.model, dtype, request.device)
    geometry = geometry_of(model.model, request.trained_length)
    trained = geometry.trained_length
    lengths = tuple(sorted(set(request.lengths or (trained * multiple for multiple in MULTIPLES))))
    memory = require_memory(model.model, lengths[-1], trained, option="--length")
    model.check_tokenizer()
    methods = tuple(dict.fromkeys((PLAIN, *(filled(text, geometry, lengths[-1]) for text in request.methods))))
    for method in methods[1:]:
        model.attach(method)  # a method that this model cannot have is an error now, not a failed row later
    names, losses = request.asked
    whole = _documents(request, model, lengths[-1], observer)
    documents = {length: tuple(_first(document, model, length) for document in whole) for length in lengths}
    diagnostics = request.diagnostics
    if any(parse(method).memory for method in methods[1:]):
        if whole[0] is None:
            observer.say("what a memory saves is measured on texts: give --text PATH to see it")
        else:
            diagnostics = tuple(dict.fromkeys((*diagnostics, *OF_A_MEMORY)))
    plan = SurveyPlan(
        request.model, dtype, model.fingerprint, trained, methods, names, losses, lengths, documents,
        request.claim, diagnostics,
    )  # fmt: skip
    _check(plan, model)
    return model, plan, memory


def _run(request: Request, observer: Observer, pages: Pages) -> Survey:
    model, plan, memory = _planned(request, observer)
    trained, shortest = plan.trained_length, plan.lengths[0]
    if shortest > trained:
        observer.say(f"the short score is that at {shortest} tokens, which is beyond the trained length of {trained}")
    observer.say(
        f"{request.model}: trained on {trained} tokens; {plan.dtype}, about {gigabytes(memory)} beside the model; "
        f"results in {request.folder}"
    )
    with (
        SurveyFolder(request.folder, plan) as folder,
        workers_for(model, Source(request.model, plan.dtype, request.device), request.ray) as workers,
    ):
        for lost in folder.records.dropped:
            observer.say(f"dropped {lost}")
        making = _Making(plan, workers, folder, 60 * request.budget)
        if missing := folder.missing(plan.probes()):
            observer.watch("survey", missing, making.all(missing), None)
        if making.out_of_time:
            observer.say(f"--budget {request.budget:g} is used up: run the same command again to go on")
        survey = summarize(plan, folder.record, _setting(request, plan, making.out_of_time))
        folder.write("summary.json", json.dumps(survey.json(), indent=2, allow_nan=False) + "\n")
        for name, text in pages(survey).items():
            folder.write(name, text)
    return survey


class _Making:
    """Makes probes in order, leaves out what is no longer needed, and stops when the time is over."""

    def __init__(self, plan: SurveyPlan, workers: Workers, folder: SurveyFolder, seconds: float) -> None:
        self.workers, self.folder = workers, folder
        self.progress = Progress(plan, folder.record)
        self.deadline = monotonic() + seconds
        self.out_of_time = False

    def all(self, missing: Sequence[Probe]) -> Iterator[Probe]:
        """Yield each when it is made or left out; its record is on disk before that."""
        for probe, record in made(self.workers, missing, self._needed):
            if record is not None:
                self.folder.records.append(record)
                self.progress.add(probe, record)
                self.out_of_time = monotonic() > self.deadline and probe != missing[-1]
            yield probe

    def _needed(self, probe: Probe) -> bool:
        return not self.out_of_time and self.progress.needed(probe)


def _documents(request: Request, model: LoadedModel, length: int, observer: Observer) -> tuple[Document | None, ...]:
    """One document for each example.

    Errors: InputError where texts were given and none is long enough.
    """
    if not request.paths:
        return (None,) * request.docs
    found = library(request.paths, model.tokenizer, length, request.docs)
    if not found.documents:
        why = f": {found.dropped[0]}" if found.dropped else ": they are empty"
        raise InputError(f"no text is as long as {length} tokens{why}; give longer --text or a shorter --length")
    chosen = found.documents[: request.docs]
    if len(chosen) < request.docs:
        observer.say(f"the texts give {len(chosen)} documents of {length} tokens, fewer than --docs {request.docs}")
        for reason in found.dropped[:DROPPED_SHOWN]:
            observer.say(f"dropped {reason}")
    files = len({document.path for document in chosen})
    if len(chosen) > files:
        parts = "one file" if files == 1 else f"{files} files"
        observer.say(f"{len(chosen)} documents are parts of {parts}: certificates may claim too much")
    return chosen


def _first(document: Document | None, model: LoadedModel, length: int) -> Document | None:
    """The first tokens of a document: what is asked at one length does not depend on how long the longest is."""
    if document is None or document.length == length:
        return document
    return replace(document, length=length, digest=digest(document.tokens(model.tokenizer)[:length]))


def _check(plan: SurveyPlan, model: LoadedModel) -> None:
    """Make the first example of every task and the first pieces of every loss at every length; try each diagnostic.

    At the shortest length all examples are made, as far as that is quick: some are longer than the first one.

    Errors: InputError where one cannot be made or asked, in one line with the reason; RefusalError where a model cannot
    be looked at.
    """
    whole = material_of(model, plan.documents[plan.lengths[-1]][0])
    text = Text(whole.document, plan.trained_length, model.tokenizer.decode, model.opening)
    for length in plan.lengths:
        tried = min(plan.count, 1 + TRIED // length) if length == plan.lengths[0] else 1
        for name in plan.tasks:
            for index, document in enumerate(plan.documents[length][:tried]):
                _check_task(name, model, material_of(model, document), length, index)
        for name in plan.losses:
            try:
                reduction_of(name).pieces(text, length)
            except InputError as error:
                missing = "" if whole.document else "; give documents with --text PATH"
                raise InputError(f"loss {name} cannot be measured at --length {length}: {error}{missing}") from None
    for name in plan.diagnostics:
        for method in plan.methods:
            probe = plan.diagnostic(method, name, plan.lengths[0], 0)
            subject = subject_of(model, probe.document, probe)
            diagnostic_of(name).look(replace(subject, ids=subject.ids[:TRIAL]))


def _check_task(name: str, model: LoadedModel, material: Material, length: int, index: int) -> None:
    task = task_of(name)
    try:
        check_known(model.reader, task.example(material, length, str(index)))
    except InputError as error:
        reason = str(error).removeprefix(f"{task.seed(length, str(index))}: ")
        where = f" in example {index + 1}" if index else ""
        raise InputError(f"task {name} cannot be asked at --length {length}{where}: {reason}") from None


def _setting(request: Request, plan: SurveyPlan, out_of_time: bool) -> Setting:
    paths = {document.path for document in plan.documents[plan.lengths[-1]] if document is not None}
    return Setting.of_this_machine(
        request,
        plan,
        plan.documents[plan.lengths[-1]],
        beginnings={
            length: tuple(document.digest for document in documents if document is not None)
            for length, documents in plan.documents.items()
        },
        lengths=plan.lengths,
        claim=str(request.claim),
        out_of_time=out_of_time,
        files=len(paths) or None,
    )


def _out_of_memory(request: Request) -> str:
    return f"out of memory; what was measured is kept in {request.folder}: give shorter --length, or --dtype bfloat16"
