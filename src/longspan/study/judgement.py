"""Judgement: the summary of a finished study, from the cells of its plan.

The race and the judgement use different documents, so that the choice of the finalists does not flatter them. A method
that failed anywhere has the reason instead of numbers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from longspan.measure.interval import Estimate, mean, paired, share
from longspan.measure.loss import BINS
from longspan.measure.model import PLAIN
from longspan.study.decision import FEWEST_DOCUMENTS, Assessment, Scores, assess, tied
from longspan.study.planning.cells import TRUNCATION, Quantity
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Column, Results, beyond
from longspan.study.summary import (
    FailedRow,
    Found,
    FoundAt,
    MethodRow,
    Race,
    Setting,
    Summary,
    WholeTexts,
    few_documents,
)
from longspan.study.verdict import Verdict


def summarize(plan: StudyPlan, race: Race, results: Results, setting: Setting) -> Summary:
    """Judge the finalists of a race.

    Arguments:
        results: of `plan.judgement_cells(race.finalists)`.
    """
    rows = (TRUNCATION, PLAIN, *race.finalists)
    failures = {row: failure for row in rows if (failure := results.failure(row)) is not None}
    length = plan.subject.length
    scores = {row: _scores(results, row, length) for row in rows if row not in failures}
    comparable = PLAIN in scores and TRUNCATION in scores
    assessments: dict[str, Assessment] = {}
    if comparable:
        assessments = {
            method: assess(scores[method], scores[PLAIN].short, scores[TRUNCATION], setting.tolerance)
            for method in race.finalists
            if method in scores
        }
    judged = len(plan.judge) >= FEWEST_DOCUMENTS and comparable
    best = tied({name: scores[name] for name in assessments}, assessments) if judged else []
    obstacle = None if judged else few_documents(len(plan.judge)) or "the plain model failed"
    return Summary(
        setting,
        race,
        plan.left_out,
        judged,
        best[0] if best else None,
        tuple(best[1:]),
        tuple(
            FailedRow(row, failures[row])
            if row in failures
            else _row(results, row, length, scores.get(TRUNCATION), assessments.get(row))
            for row in rows
        ),
        Verdict("none" if obstacle else "method" if best else "truncation", obstacle),
    )


def _scores(results: Results, row: str, length: int) -> Scores:
    short = results.columns(row, Quantity.SHORT).values()
    at_end = [beyond(outcome) for outcome in results.column(row, Quantity.RETRIEVAL, length)]
    return Scores(
        [outcome.result["loss"] for outcome in results.column(row, Quantity.LOSS, length)],
        [outcome.result["short"] for column in short for outcome in column],
        [right / max(1, asked) for right, asked in at_end],
    )


def _row(
    results: Results, row: str, length: int, truncation: Scores | None, assessment: Assessment | None
) -> MethodRow:
    """What the report shows of one method."""
    loss = {
        context: [outcome.result["loss"] for outcome in column]
        for context, column in results.columns(row, Quantity.LOSS).items()
    }
    retrieval = results.columns(row, Quantity.RETRIEVAL)
    at_end = [beyond(outcome) for outcome in retrieval[length]]
    whole = results.columns(row, Quantity.WHOLE).get(length)
    timed = results.column(row, Quantity.LOSS, length) if whole is None else whole
    seconds = median(outcome.seconds for outcome in timed)
    return MethodRow(
        row,
        {context: mean(values) for context, values in loss.items()},
        {} if truncation is None else _differences(loss, truncation.loss),
        {tokens: _found(column) for tokens, column in retrieval.items()},
        share([right for right, _ in at_end], [asked for _, asked in at_end]),
        _heat(retrieval),
        seconds,
        None if whole is None else _whole(whole, length / seconds),
        assessment,
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
    return WholeTexts(tuple(map(_mean_of_scored, parts)), tokens_per_second, peak)


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
