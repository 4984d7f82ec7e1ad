"""A search from request to summary: known methods first, then batch after batch of candidates, then the judgement.

Every candidate of every batch reads the same documents. Each reading is a record on disk, and a strategy proposes the
same after the same costs, so that a search that was killed takes the same way again, through its records at once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from longspan.errors import InputError, NotationError
from longspan.geometry import Geometry
from longspan.grid.dtype import chosen_dtype
from longspan.grid.limits import within_limits
from longspan.grid.observer import Observer
from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.hardware.memory import gigabytes, require_memory
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.models.method import filled
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.models.source import geometry_of
from longspan.notation import parse_plan
from longspan.pretrained.attachment import attachment_of
from longspan.search.cost import Rating
from longspan.search.division import Division, divide
from longspan.search.folder import SearchFolder
from longspan.search.judgement import Judgement, judge
from longspan.search.readings import Readings
from longspan.search.request import Request
from longspan.search.strategies.factors import FactorSearch, Family
from longspan.search.strategies.layers import LayerSearch, choices
from longspan.search.strategies.strategy import Strategy
from longspan.search.summary import Setting, Summary, Trajectory
from longspan.search.way import Way
from longspan.study.candidates import candidates
from longspan.study.planning.far import require_far_facts
from longspan.study.planning.subject import Subject
from longspan.study.storing.model import write_model

CANDIDATES = "candidates"
"""What stands for all candidates of a study among the methods to compare with."""

RESERVE = 0.1
"""Share of a budget that nothing is planned for."""

MOST_BATCHES = 500
"""No search is planned for more: by then one over seven numbers or over layers has come to its end."""


def run_search(request: Request, observer: Observer) -> Summary:
    """Carry out a search and write its folder.

    Arguments:
        observer: shown what happens.

    Errors: LongspanError for what the user can change; what was measured is kept.
    """
    with within_limits(_out_of_memory(request)):
        return _run(request, observer)


def _run(request: Request, observer: Observer) -> Summary:
    dtype = chosen_dtype(request.dtype, request.folder, request.model, request.paths, request.device)
    model = LoadedModel.load(request.model, dtype, request.device)
    geometry = geometry_of(model.model, request.trained_length)
    request.check_length(geometry)
    memory = require_memory(model.model, request.length, geometry.trained_length)
    model.check_tokenizer()
    model.attach(PLAIN)
    strategy = _strategy(request, model, geometry)
    rivals = _rivals(request, geometry) or strategy.starts
    known = tuple(dict.fromkeys((*strategy.starts, *rivals)))
    for method in known:
        model.attach(method)  # a method that this model cannot have is an error now
    division = divide(request.paths, model.tokenizer, request.length, (request.search_docs, request.docs))
    subject = Subject(request.model, dtype, model.fingerprint, geometry.trained_length, request.length)
    for documents in (division.search, division.held_out):
        require_far_facts(subject, documents, model.tokenizer, model.opening)
    observer.say(
        f"{request.model}: trained on {geometry.trained_length} tokens, to read {request.length}; {dtype}, "
        f"about {gigabytes(memory)} beside the model; {len(division.search)} documents to search on, "
        f"{len(division.held_out)} of other files to judge on; results in {request.folder}"
    )
    with SearchFolder(request.folder, subject, request.over, request.seed) as folder:
        for lost in folder.records.dropped:
            observer.say(f"dropped {lost}")
        readings = Readings(subject, model, folder, observer, request.tolerance)
        ratings = _known(readings, known, division.search)
        rival = min((ratings[method] for method in rivals), key=lambda rating: rating.cost)
        if rival.failed:
            raise InputError(f"no method to compare with can be measured; {rival.method} failed: {rival.failed}")
        plan = _plan(request, readings, strategy, known, division)
        way = _search(readings, strategy, [ratings[method] for method in strategy.starts], division.search, plan)
        _report(way.trajectory, observer)
        judgement = _judgement(readings, way.found.method, rival.method, division.held_out)
        setting = _setting(request, subject, division)
        summary = Summary(setting, tuple(ratings.values()), way.trajectory, way.found, rival, judgement)
        written = write_model(
            folder.folder / "model", request.model, summary.recommended, request.length, model.tokenizer
        )
        summary = replace(summary, model=str(written))
        folder.write("summary.json", json.dumps(summary.json(), indent=2, allow_nan=False) + "\n")
    return summary


def _known(readings: Readings, methods: Sequence[str], documents: Sequence[Document]) -> dict[str, Rating]:
    """Measure the plain model on short texts, and known methods on the documents of the search.

    Errors: InputError where the plain model fails.
    """
    shorts = readings.plain(Short, documents)
    readings.watch("short texts", shorts)
    for asked in shorts:
        readings.result(asked)  # raises where the plain model failed
    readings.watch("known methods", [reading for method in methods for reading in readings.of(method, documents)])
    return {method: readings.rating(method, documents) for method in methods}


def _report(trajectory: Trajectory, observer: Observer) -> None:
    for reason, count in trajectory.failed.items():
        observer.say(f"{count} candidates failed and count as the worst: {reason}")
    if trajectory.converged:
        observer.say(f"the search ended by itself after {trajectory.candidates} candidates")


def _search(
    readings: Readings, strategy: Strategy, starts: Sequence[Rating], documents: Sequence[Document], plan: "_Plan"
) -> Way:
    """Follow a strategy for as many batches as planned, or until it ends by itself."""
    way = Way(strategy, starts)

    def walk() -> Iterator[bool]:
        for _ in range(plan.batches):
            if not (asked := way.ask()):
                return
            for method in asked:
                yield from readings.evaluate(method, documents)
            way.tell([readings.rating(method, documents) for method in asked])

    count = plan.batches * strategy.batch
    names = (f"candidate {number} of {count}" for number in range(1, count + 1))
    planned = [reading for name in names for reading in readings.of(name, documents)]
    walking, done = walk(), 0
    for fresh in walking:  # through the records of an earlier run, which takes no time
        done += 1
        if fresh:
            break
    if planned[done:]:
        readings.observer.watch("search", planned[done:], walking, plan.pace)
    return way


@dataclass(frozen=True)
class _Plan:
    """How many batches the budget allows, and how long a reading takes."""

    batches: int
    pace: Pace


def _plan(request: Request, readings: Readings, strategy: Strategy, known: Sequence[str], division: Division) -> _Plan:
    """Plan a search from the records of the known methods, so that one that is resumed is planned as it was."""
    asked = [*readings.plain(Short, division.search), *(r for m in known for r in readings.of(m, division.search))]
    records = [record for each in asked if (record := readings.folder.record(each))]
    one = fmean(record["seconds"] for record in records if record["arguments"]["kind"] == "reading")
    spent = sum(record["seconds"] for record in records)
    left = (1 - RESERVE) * 60 * request.budget - spent - 2 * len(division.held_out) * one
    batch = strategy.batch * len(division.search) * one
    if left < batch:
        readings.observer.say(
            f"one batch of {strategy.batch} candidates, and the judgement, take about "
            f"{request.budget + (batch - left) / 60:.0f} minutes, more than --budget {request.budget:g}"
        )
    batches = int(left // batch) if batch else MOST_BATCHES
    return _Plan(min(max(1, batches), MOST_BATCHES), Pace(one / request.length))


def _judgement(readings: Readings, found: str, rival: str, documents: Sequence[Document]) -> Judgement:
    """Judge on the held-out documents."""
    names = tuple(document.name for document in documents)
    plain = [*readings.plain(Short, documents), *readings.plain(Truncation, documents)]
    asked = [*plain, *(each for method in dict.fromkeys((found, rival)) for each in readings.of(method, documents))]
    readings.watch("judgement", asked)
    for each in asked:
        if failed := readings.record(each).get("failed"):
            return Judgement("failed", names, failed=f"{each.method} failed on a held-out document: {failed}")
    own, other = readings.held(found, documents), None if found == rival else readings.held(rival, documents)
    return judge(names, own, other, readings.truncation(documents), readings.tolerance)


def _strategy(request: Request, model: LoadedModel, geometry: Geometry) -> Strategy:
    attachment = attachment_of(model.model)
    assert attachment is not None
    if request.over == "layers":
        return LayerSearch.of(attachment.anatomy, choices(request.schemes, geometry, request.length))
    return FactorSearch(Family.of(attachment.target, geometry, request.length), request.seed)


def _rivals(request: Request, geometry: Geometry) -> tuple[str, ...]:
    """The methods to compare with, every number of a scheme written out; a plan is left as it was given."""
    found = []
    for text in request.against:
        if text.strip() == CANDIDATES:
            found += candidates(geometry, request.length)
            continue
        try:
            found.append(filled(text, geometry, request.length))
        except NotationError:
            parse_plan(text, geometry, request.length)  # raises for what is neither
            found.append(text.strip())
    return tuple(dict.fromkeys(found))


def _setting(request: Request, subject: Subject, division: Division) -> Setting:
    return Setting.of_this_machine(
        request,
        subject,
        division.search,
        over=request.over,
        seed=request.seed,
        length=subject.length,
        tolerance=request.tolerance,
        dropped=division.dropped,
    )


def _out_of_memory(request: Request) -> str:
    return (
        f"out of memory while reading {request.length} tokens; what was measured is kept in {request.folder}: "
        "give a smaller --to, or --dtype bfloat16"
    )
