"""Judgement: the summary of a finished study, from the cells of its plan.

The race and the judgement use different documents, so that the choice of the finalists does not flatter them. A method
that failed anywhere has the reason instead of numbers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from longspan.measure.models.model import PLAIN
from longspan.measure.reading.loss import BINS
from longspan.measure.statistics.interval import Estimate, mean, paired, share
from longspan.study.contrast import Contrast, assess
from longspan.study.decision import FEWEST_DOCUMENTS, Decision, Field, Scores, best_exportable, contrast, decide, leader
from longspan.study.doubts import Doubts, doubts, several_devices
from longspan.study.planning.cells import TRUNCATION, Quantity
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Column, Results, beyond
from longspan.study.summary import (
    FailedRow,
    Found,
    FoundAt,
    MethodRow,
    Race,
    RaceRow,
    Setting,
    Summary,
    WholeTexts,
    few_documents,
)
from longspan.study.verdict import Tie, Verdict

BETWEEN = (
    "what surely beats truncation is not surely better than the plain model, which may be no better than truncation"
)
"""Where neither a method, nor the plain model, nor truncation can be the advice, as the end of a sentence."""


def field_of(plan: StudyPlan, race: Race, results: Results, tolerance: float) -> Field | None:
    """Return the scores of everybody that is judged; None where a baseline failed.

    Arguments:
        results: of `plan.judgement_cells(race.finalists)`.
    """
    length = plan.subject.length
    rows = (*plan.baselines, *sorted(race.finalists, key=plan.candidates.index))
    scores = {row: _scores(results, row, length) for row in rows if results.failure(row) is None}
    if not scores.keys() >= set(plan.baselines):
        return None
    methods = {name: found for name, found in scores.items() if name not in plan.baselines}
    return Field(methods, scores[PLAIN], scores.get(TRUNCATION), plan.exportable, tolerance)


def summarize(plan: StudyPlan, race: Race, results: Results, setting: Setting, vocabulary: int) -> Summary:
    """Judge the finalists of a race.

    Arguments:
        results: of `plan.judgement_cells(race.finalists)`.
        vocabulary: tokens of the model.
    """
    rows = (*plan.baselines, *race.finalists)
    failures = {row: failure for row in rows if (failure := results.failure(row)) is not None}
    field = field_of(plan, race, results, setting.tolerance)
    doubted = _doubts(plan, field, vocabulary)
    few = few_documents(len(plan.judge)) or (_few_far_facts(plan, field) if field else None)
    obstacle = few or (doubted.obstacle if field else "the plain model failed")
    decision = Decision("none") if obstacle or field is None else decide(field)
    near = BETWEEN if obstacle is None and decision.advice == "none" else None
    obstacle = obstacle or near
    ties = (*decision.ties, *_race_ties(race, decision.winner))
    contrasts = _contrasts(field) if field else {}
    return Summary(
        setting,
        race,
        plan.left_out,
        obstacle is None,
        decision.winner,
        tuple(tie.method for tie in ties),
        tuple(
            FailedRow(row, failures[row])
            if row in failures
            else _row(results, row, plan.subject.length, contrasts.get(row, {}), setting.tolerance)
            for row in rows
        ),
        Verdict(
            decision.advice,
            obstacle,
            decision.chosen_by,
            ties,
            _undecided(race),
            _exportable(field, decision) if field else None,
            leader(field) if field and (few or near) else None,
        ),
        (*doubted.warnings, *(several_devices(_devices(field)) if field else ())),
    )


def _doubts(plan: StudyPlan, field: Field | None, vocabulary: int) -> Doubts:
    """What speaks against the study: from the row that costs nothing."""
    if field is None:
        return Doubts()
    what, scores = ("the plain model", field.plain) if field.truncation is None else ("truncation", field.truncation)
    files = len({document.path for document in plan.judge})
    return doubts(fmean(scores.loss), what, vocabulary, len(plan.judge), files)


def _devices(field: Field) -> frozenset[str | None]:
    """Where somebody was timed."""
    return frozenset[str | None]().union(*(row.devices for row in (*field.baselines, *field.methods.values())))


def _few_far_facts(plan: StudyPlan, field: Field) -> str | None:
    """What is missing where too few documents hold a fact farther back than the trained length."""
    if (count := len(field.baselines[0].facts)) >= FEWEST_DOCUMENTS:
        return None
    return (
        f"{count} of {len(plan.judge)} documents {'holds' if count == 1 else 'hold'} facts farther back than "
        f"{plan.subject.trained_length} tokens, at least {FEWEST_DOCUMENTS} are needed"
    )


def _undecided(race: Race) -> tuple[str, ...]:
    """Candidates that the budget did not let race, but for those that are judged or failed on the shorter text."""
    known = {*race.finalists, *(row.method for row in race.entry if isinstance(row, FailedRow))}
    raced = {row.method for row in race.rows}
    cut = [each.candidate for each in race.eliminated if each.reason == "budget" and each.documents == 0]
    cut += [row.method for row in race.entry if row.method not in raced]
    return tuple(name for name in dict.fromkeys(cut) if name not in known)


def _exportable(field: Field, decision: Decision) -> str | None:
    return decision.winner if decision.winner in field.exportable else best_exportable(field)


def _race_ties(race: Race, winner: str | None) -> tuple[Tie, ...]:
    """Candidates that the race set aside without sure evidence, and that may be as good as the winner."""
    rows = {row.method: row for row in race.rows if isinstance(row, RaceRow)}
    sure = {each.candidate for each in race.eliminated if each.reason != "budget"}
    if winner not in rows:
        return ()
    best = rows[winner].costs
    found = []
    for name, row in rows.items():
        count = min(len(row.costs), len(best))
        if count and name not in (PLAIN, *race.finalists) and name not in sure:
            tie = Tie(name, paired(row.costs[:count], best[:count]), judged=False)
            found += [] if tie.difference.above_zero else [tie]
    return tuple(sorted(found, key=lambda tie: tie.difference.value))


def _scores(results: Results, row: str, length: int) -> Scores:
    short = results.columns(row, Quantity.SHORT).values()
    at_end = [beyond(outcome) for outcome in results.column(row, Quantity.RETRIEVAL, length)]
    return Scores(
        [outcome.result["loss"] for outcome in results.column(row, Quantity.LOSS, length)],
        [outcome.result["short"] for column in short for outcome in column],
        [right / asked if asked else None for right, asked in at_end],
        [outcome.seconds for outcome in _timed(results, row, length)],
        frozenset(outcome.device for outcome in _timed(results, row, length)),
    )


def _timed(results: Results, row: str, length: int) -> Column:
    """The measurements that read a text for its end."""
    whole = results.columns(row, Quantity.WHOLE).get(length)
    return results.column(row, Quantity.LOSS, length) if whole is None else whole


def _contrasts(field: Field) -> dict[str, dict[str, Contrast]]:
    """Every row against every baseline but itself."""
    rows = {PLAIN: field.plain, **field.methods}
    bases = {PLAIN: field.plain} if field.truncation is None else {TRUNCATION: field.truncation, PLAIN: field.plain}
    return {
        row: {name: contrast(scores, base, field.plain.short) for name, base in bases.items() if name != row}
        for row, scores in rows.items()
    }


def _row(results: Results, row: str, length: int, against: Mapping[str, Contrast], tolerance: float) -> MethodRow:
    """What the report shows of one method."""
    loss = {
        context: [outcome.result["loss"] for outcome in column]
        for context, column in results.columns(row, Quantity.LOSS).items()
    }
    retrieval = results.columns(row, Quantity.RETRIEVAL)
    at_end = [beyond(outcome) for outcome in retrieval[length]]
    whole = results.columns(row, Quantity.WHOLE).get(length)
    seconds = median(outcome.seconds for outcome in _timed(results, row, length))
    cut = [] if results.failure(TRUNCATION) else results.columns(TRUNCATION, Quantity.LOSS).get(length, [])
    truncation = [outcome.result["loss"] for outcome in cut]
    return MethodRow(
        row,
        {context: mean(values) for context, values in loss.items()},
        _differences(loss, truncation) if truncation else {},
        {tokens: _found(column) for tokens, column in retrieval.items()},
        share([right for right, _ in at_end], [asked for _, asked in at_end]),
        _heat(retrieval),
        seconds,
        None if whole is None else _whole(whole, length / seconds),
        assess(against[TRUNCATION], tolerance) if TRUNCATION in against and row != PLAIN else None,
        against,
    )


def _differences(loss: Mapping[int, Sequence[float]], truncation: Sequence[float]) -> dict[int, Estimate]:
    """Losses minus truncation's, paired by document; the plain model may have read the first documents only."""
    return {context: paired(values, truncation[: len(values)]) for context, values in loss.items()}


def _found(column: Column) -> Found:
    right, asked = ([outcome.result[name] for outcome in column] for name in ("right", "asked"))
    return Found(share(right, asked), sum(right), sum(asked))


def _whole(column: Column, tokens_per_second: float) -> WholeTexts:
    parts = [[outcome.result["positions"][part] for outcome in column] for part in range(BINS)]
    peak = max(outcome.peak_bytes for outcome in column)
    caches = [outcome.result["cache_bytes"] for outcome in column if "cache_bytes" in outcome.result]
    shares = [outcome.result["lost"] for outcome in column if "lost" in outcome.result]
    lost = None if not shares else (fmean(keys for keys, _ in shares), fmean(values for _, values in shares))
    return WholeTexts(tuple(map(_mean_of_scored, parts)), tokens_per_second, peak, max(caches, default=None), lost)


def _mean_of_scored(values: Sequence[float | None]) -> float | None:
    scored = [value for value in values if value is not None]
    return fmean(scored) if scored else None


def _heat(retrieval: Mapping[int, Column]) -> tuple[FoundAt, ...]:
    """Right and asked for every depth and length."""
    answers: dict[tuple[int, float], list[bool]] = defaultdict(list)
    for length, column in retrieval.items():
        for outcome in column:
            for question in outcome.result["questions"]:
                answers[length, question["depth"]].append(question["right"])
    return tuple(FoundAt(length, depth, sum(found), len(found)) for (length, depth), found in sorted(answers.items()))
