"""Summary: everything the report shows, as one JSON object, from the records alone.

Numbers of the race and of the judgement never meet: they come from different documents. A method that failed anywhere
has no numbers, and the reason.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from longspan.measure.interval import mean, paired, share, wilson
from longspan.measure.kinds import PLAIN, Context, Measurement, Reading, Retrieval, Short, Truncation
from longspan.measure.loss import BINS
from longspan.study.budget import Plan
from longspan.study.decision import FEWEST_DOCUMENTS, Assessment, Scores, assess, tied
from longspan.study.folder import Study
from longspan.study.grid import Grid, Measurements
from longspan.tasks.documents import Document

TRUNCATION = "truncation"


@dataclass(frozen=True)
class Race:
    """Which methods were fastest to fall away.

    Arguments:
        rows: one per method, best first: method, loss, beyond (share of far facts found, of `asked`), price, failed.
        finalists: methods to be judged.
    """

    rows: tuple[dict[str, Any], ...]
    finalists: tuple[str, ...]


def race(study: Study, plan: Plan, tolerance: float) -> Race:
    """Rank the candidates: those within the tolerance first, by the loss of the second half of what was read."""
    if not plan.races:
        return Race((), plan.candidates)
    grid = plan.race_grid(study.grid)
    plain = [_result(study, grid.ask(Reading, document)) for document in plan.race]
    rows = []
    for method in (PLAIN, *plan.candidates):
        records = [study.record(grid.ask(Reading, document, method)) for document in plan.race]
        reason = next((record["failed"] for record in records if record and record.get("failed")), None)
        if reason is not None or None in records:
            rows.append({"method": method, "failed": reason or "not measured"})
            continue
        results = [record["result"] for record in records if record]
        answers = [_beyond(result, grid.trained_length)[:2] for result in results]
        asked = sum(number for _, number in answers)
        found = {
            "method": method,
            "loss": fmean(result["second_half"] for result in results),
            "beyond": sum(right for right, _ in answers) / max(1, asked),
            "asked": asked,
            "failed": None,
        }
        if None not in plain:
            prices = [result["short"] - other["short"] for result, other in zip(results, plain, strict=True) if other]
            found["price"] = fmean(prices)
        found["tokens_per_second"] = study.tokens_per_second(grid.ask(Reading, d, method) for d in plan.race)
        rows.append(found)

    def rank(row: dict[str, Any]) -> tuple[bool, bool, float]:
        failed = row["failed"] is not None
        return failed, not failed and row.get("price", 0.0) > tolerance, row.get("loss", 0.0)

    rows.sort(key=rank)
    running = [row for row in rows if row["failed"] is None and row["method"] != PLAIN]
    return Race(tuple(rows), finalists(running, plan.finalists, tolerance))


def finalists(running: Sequence[dict[str, Any]], count: int, tolerance: float) -> tuple[str, ...]:
    """The first `count` of ranked rows; where each of them surely finds less than others do, the last gives way.

    A method can be worth using by its loss or by the facts it finds, and a race asks for few facts.
    """
    chosen = list(running[:count])
    affordable = [row for row in running if row.get("price", 0.0) <= tolerance]
    most = max((row["beyond"] for row in affordable), default=0.0)
    finding = [row for row in affordable if not row["asked"] or wilson(row["beyond"], row["asked"])[1] >= most]
    if finding and not any(row in finding for row in chosen):
        chosen[-1] = finding[0]
    return tuple(row["method"] for row in chosen)


def summarize(study: Study, plan: Plan, raced: Race, tolerance: float, setting: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a finished study."""
    grid = study.grid
    methods = {method: _method(study, plan, method) for method in (PLAIN, *raced.finalists)}
    methods[TRUNCATION] = _truncation(study, plan)
    scores = {name: _scores(grid, found) for name, found in methods.items() if found["failed"] is None}
    comparable = PLAIN in scores and TRUNCATION in scores
    judged = len(plan.judge) >= FEWEST_DOCUMENTS and comparable
    found: dict[str, Assessment] = {}
    if comparable:
        for name in raced.finalists:
            if name in scores:
                found[name] = assess(scores[name], scores[PLAIN].short, scores[TRUNCATION], tolerance)
    best = tied({name: scores[name] for name in found}, found) if judged else []
    return {
        "setting": {**setting, "tolerance": tolerance, "documents": [document.name for document in plan.judge]},
        "race": {
            "documents": [document.name for document in plan.race],
            "length": plan.race_length,
            "rows": list(raced.rows),
            "finalists": list(raced.finalists),
        },
        "left_out": list(plan.left_out),
        "judged": judged,
        "winner": best[0] if best else None,
        "tied": best[1:],
        "methods": [
            _row(grid, name, methods[name], scores.get(TRUNCATION), found.get(name))
            for name in (TRUNCATION, PLAIN, *raced.finalists)
        ],
    }


def _result(study: Study, asked: Measurement) -> dict[str, Any] | None:
    record = study.record(asked)
    return record["result"] if record else None


def _method(study: Study, plan: Plan, method: str) -> dict[str, Any]:
    """All results of one judged method, document by document.

    The plain model reads fewer documents where its plan says so, and is truncation at a context of L.
    """
    grid, plain = study.grid, method == PLAIN
    documents = plan.whole if plain else plan.judge
    whole = [grid.ask(Reading, document, method) for document in documents]
    loss = {
        context: [
            grid.ask(Truncation, document)
            if plain and context == grid.trained_length
            else grid.ask(Context, document, method, context=context)
            for document in documents
        ]
        for context in plan.contexts
        if context < grid.length
    }
    lengths = {
        length: [grid.ask(Retrieval, document, method, length) for document in documents]
        for length in plan.lengths
        if length < grid.length
    }
    short = whole if documents == plan.judge else [grid.ask(Short, document) for document in plan.judge]
    return _checked(study, {**loss, grid.length: whole}, {**lengths, grid.length: whole}, short, whole)


def _truncation(study: Study, plan: Plan) -> dict[str, Any]:
    """The plain model on the last trained-length tokens: at any wanted length the same loss as at the trained one."""
    grid = study.grid
    lengths = {length: grid.truncations(plan.judge, (length,)) for length in plan.lengths}
    contexts = [context for context in plan.contexts if context >= grid.trained_length]
    return _checked(study, dict.fromkeys(contexts, lengths[grid.length]), lengths)


def _checked(
    study: Study,
    loss: Mapping[int, Measurements],
    retrieval: Mapping[int, Measurements],
    short: Measurements = (),
    whole: Measurements = (),
) -> dict[str, Any]:
    """Results in place of measurements, and the first failure.

    Arguments:
        loss: by context.
        retrieval: by length.
        short: of the loss within the trained length.
        whole: of the loss by position, and the price.
    """
    failures = []

    def results(measurements: Measurements) -> list[dict[str, Any]]:
        records = [study.record(asked) for asked in measurements]
        bad = [record for record in records if record is None or record["result"] is None]
        failures.extend("not measured" if record is None else record["failed"] for record in bad)
        return [{**record["result"], **_cost(record)} for record in records if record and record["result"]]

    checked = {
        "loss": {context: results(measurements) for context, measurements in loss.items()},
        "retrieval": {length: results(measurements) for length, measurements in retrieval.items()},
        "short": results(short),
        "whole": results(whole),
    }
    return {**checked, "failed": failures[0] if failures else None}


def _cost(record: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": record["seconds"], "peak_bytes": record["peak_bytes"]}


def _scores(grid: Grid, found: dict[str, Any]) -> Scores:
    loss = [result["loss"] for result in found["loss"][grid.length]]
    short = [result["short"] for result in found["short"]]
    return Scores(loss, short, [_beyond(result, grid.trained_length)[2] for result in found["retrieval"][grid.length]])


def _beyond(result: dict[str, Any], trained_length: int) -> tuple[int, int, float]:
    """Right, asked and their ratio among the facts that stand farther back than the trained length."""
    far = [question["right"] for question in result["questions"] if question["distance"] > trained_length]
    return sum(far), len(far), sum(far) / max(1, len(far))


def _row(
    grid: Grid,
    name: str,
    found: dict[str, Any],
    truncation: Scores | None,
    assessment: Assessment | None,
) -> dict[str, Any]:
    """What the report shows of one method."""
    row: dict[str, Any] = {"method": name, "failed": found["failed"]}
    if found["failed"] is not None:
        return row
    at_end = found["retrieval"][grid.length]
    beyond = [_beyond(result, grid.trained_length)[:2] for result in at_end]
    row["loss"] = {
        str(context): mean([result["loss"] for result in results]).json() for context, results in found["loss"].items()
    }
    if truncation is not None:
        row["loss_minus_truncation"] = {
            # The plain model may have read the first documents only.
            str(context): paired([result["loss"] for result in results], truncation.loss[: len(results)]).json()
            for context, results in found["loss"].items()
        }
    row["retrieval"] = {str(length): _retrieved(results) for length, results in found["retrieval"].items()}
    row["beyond"] = share([right for right, _ in beyond], [asked for _, asked in beyond]).json()
    row["heat"] = _heat(found["retrieval"])
    whole = found["whole"]
    if whole:
        row["positions"] = [_mean_of_known([result["positions"][b] for result in whole]) for b in range(BINS)]
        row["seconds"] = median(result["seconds"] for result in whole)
        row["tokens_per_second"] = grid.length / row["seconds"]
        row["peak_bytes"] = max(result["peak_bytes"] for result in whole)
    else:
        row["seconds"] = median(result["seconds"] for result in found["loss"][grid.length])
    if assessment is not None:
        row["price"] = assessment.price.json()
        row["gain"] = assessment.gain.json()
        row["retrieval_gain"] = assessment.retrieval.json()
        row["affordable"] = assessment.affordable
        row["beats_in_loss"] = assessment.beats_in_loss
        row["beats_in_retrieval"] = assessment.beats_in_retrieval
    return row


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _retrieved(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    estimate = share([result["right"] for result in results], [result["asked"] for result in results])
    right, asked = sum(result["right"] for result in results), sum(result["asked"] for result in results)
    return {**estimate.json(), "right": right, "asked": asked}


def _heat(lengths: Mapping[int, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Right and asked for every depth and length."""
    cells: dict[tuple[int, float], list[bool]] = defaultdict(list)
    for length, results in lengths.items():
        for result in results:
            for question in result["questions"]:
                cells[length, question["depth"]].append(question["right"])
    return [
        {"length": length, "depth": depth, "right": sum(answers), "asked": len(answers)}
        for (length, depth), answers in sorted(cells.items())
    ]


def documents_of(summary: Mapping[str, Any]) -> int:
    """How many documents were judged."""
    return len(summary["setting"]["documents"])


def document_names(documents: Sequence[Document]) -> list[str]:
    """For people."""
    return [document.name for document in documents]
