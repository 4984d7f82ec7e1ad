"""A study is a pure function of its plan: a faster or slower machine gives the same verdict, or a tie that names it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.geometry import Geometry
from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.measurement import Measurement
from longspan.measure.reading.loss import BINS
from longspan.report.words import criteria
from longspan.study.candidates import candidates
from longspan.study.planning.budget import full_plan, plan_within, shortest_verdict
from longspan.study.planning.cells import Cell
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from longspan.study.results import Results
from longspan.study.run import conduct
from longspan.study.summary import Summary
from study.drawn import setting

SUBJECT = Subject("m", "float32", "0" * 16, 512, 4096)
DOCUMENTS = tuple(Document(f"{i}.txt", 0, 4096, str(i)) for i in range(16))
METHODS = candidates(Geometry(4, 4, 64, 512), 4096)
STOCK = frozenset(name for name in METHODS if name.startswith(("yarn", "ntk(")))
PACE = Pace(2e-4, 1e-8)
"""A second for 4096 tokens, as the bundled model on two threads."""

TRUE = {"plain": (5.0, 0.25, 0.0), "truncation": (4.69, 0.22, 0.0)} | {
    name: (loss, facts, price)
    for name, loss, facts, price in zip(
        METHODS,
        (4.72, 4.72, 4.72, 4.74, 4.71, 4.90, 4.76, 4.72, 4.72, 4.74, 4.71, 4.70, 4.69),
        (0.87, 0.88, 0.88, 0.87, 0.87, 0.44, 0.76, 0.86, 0.88, 0.86, 0.88, 0.27, 0.22),
        (0.0, 0.0, 0.0, 0.055, 0.0, 0.126, 0.0, 0.0, 0.0, 0.012, 0.0, 0.012, 0.0),
        strict=True,
    )
}
"""Loss, facts and price of each row, about those of the bundled model (experiments/regret)."""


class Silent:
    """An observer that shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def watch(self, stage: str, asked: Sequence[Any], made: Any, pace: Pace | None) -> None:
        """Show nothing."""


def record(asked: Measurement) -> dict[str, Any]:
    """What a model would have said: documents differ, methods differ less on the same document."""
    row = "truncation" if asked.kind == "truncation" else asked.method
    loss, facts, price = TRUE[row]
    document = np.random.default_rng(int(asked.document.digest))
    own = np.random.default_rng(int(hashlib.sha256(f"{row}{asked.document.digest}".encode()).hexdigest()[:8], 16))
    hard, wobble = document.normal(0, 0.2), own.normal(0, 0.03)
    likely, found = float(np.clip(facts + own.normal(0, 0.04), 0, 1)), own.random(16)
    questions = [{"depth": 0.5, "distance": 4000, "right": bool(each < likely), "scores": []} for each in found]
    answers = {"right": sum(each["right"] for each in questions), "asked": 16, "questions": questions}
    end, short = loss + hard + wobble, 3.0 + hard + price
    result = {
        "reading": {
            "loss": end,
            "short": short,
            "second_half": end - 0.8 * wobble,
            "positions": [end] * BINS,
            **answers,
        },
        "context": {"loss": end},
        "retrieval": answers,
        "truncation": {"loss": end, **answers},
        "short": {"short": short},
    }[asked.kind]
    return {"key": asked.key, "result": result, "seconds": 1.0, "peak_bytes": 1}


def conducted(plan: StudyPlan) -> Summary:
    def results(stage: str, cells: Sequence[Cell]) -> Results:
        return Results(cells, record)

    return conduct(plan, setting(plan), 2000, results, Silent())


def planned(minutes: float, pace: Pace) -> StudyPlan:
    return plan_within(60 * minutes, pace, SUBJECT, METHODS, DOCUMENTS[8:], DOCUMENTS[:8], STOCK)


def paces(speeds: Sequence[float]) -> list[Pace]:
    return [Pace(PACE.per_token / speed, PACE.per_pair / speed) for speed in speeds]


@given(st.floats(1e-3, 1e3), st.floats(1.0, 100.0))
def test_a_budget_that_cuts_nothing_gives_the_same_verdict_at_any_pace(speed: float, spare: float) -> None:
    (pace,) = paces([speed])
    full = full_plan(SUBJECT, METHODS, DOCUMENTS[8:], DOCUMENTS[:8], STOCK)
    assert planned(1.2 * spare * full.seconds(pace) / 60, pace) == full


@pytest.mark.parametrize("minutes", [2.0, 5.0])
def test_ten_machines_give_the_same_verdict_or_a_tie_that_names_it(minutes: float) -> None:
    """Between half and twice as fast: what the budget cuts differs, and nobody is surely called worse by that."""
    found = [conducted(planned(minutes, pace)) for pace in paces(np.geomspace(0.5, 2.0, 10).tolist())]
    assert {each.verdict.advice for each in found} == {"method"}
    assert len({(each.left_out, each.race.finalists) for each in found}) > 1
    winners = {each.winner for each in found}
    for each in found:
        assert winners <= {each.winner, *each.tied, *each.verdict.undecided}


def test_the_same_plan_gives_the_same_summary() -> None:
    plan = planned(2.0, PACE)
    assert conducted(plan).json() == conducted(plan).json()


def test_what_the_budget_cut_is_named() -> None:
    """Every candidate is judged, surely out, tied or undecided; none is forgotten."""
    for minutes in (0.1, 0.2, 0.5, 1.0, 2.0, 100.0):
        found = conducted(planned(minutes, PACE))
        verdict = len(found.setting.documents) == 8
        assert verdict == (minutes > 0.2)
        assert (found.winner is not None) == verdict
        assert (found.verdict.leading in METHODS) == (not verdict)
        judged = {row.method for row in found.methods}
        sure = {each.candidate for each in found.race.eliminated if each.reason != "budget"}
        behind = {row.method for row in found.race.rows} - set(found.tied)
        assert set(METHODS) <= judged | sure | set(found.tied) | set(found.verdict.undecided) | behind


def test_the_plain_model_reads_all_documents_where_it_is_not_surely_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUE, "plain", (4.70, 0.87, 0.0))
    plan = shortest_verdict(full_plan(SUBJECT, METHODS, DOCUMENTS[8:], DOCUMENTS[:8], STOCK))
    assert len(plan.whole) == 3
    found = conducted(plan)
    plain = found.row("plain")
    assert plain is not None
    assert plain.beyond.documents == 8
    assert found.verdict.advice == "plain"
    assert found.winner is None


def test_the_best_for_stock_runtimes_is_judged_where_it_has_a_place() -> None:
    for minutes in (1.0, 2.0, 100.0):
        plan = planned(minutes, PACE)
        assert plan.reserved
        found = conducted(plan)
        assert found.verdict.exportable in STOCK
        row = found.row(found.verdict.exportable)
        assert row is not None
        assert row.against


def test_a_model_that_predicts_nothing_gets_no_verdict() -> None:
    def results(stage: str, cells: Sequence[Cell]) -> Results:
        return Results(cells, record)

    plan = planned(2.0, PACE)
    found = conduct(plan, setting(plan), 50, results, Silent())
    assert log(50) < 4.69
    assert (found.judged, found.winner, found.verdict.advice) == (False, None, "none")
    assert found.warnings


def test_where_the_plain_model_varies_too_much_there_is_no_verdict() -> None:
    """Methods surely beat truncation, so that it is no advice, and nothing is sure about the plain model."""

    def varied(asked: Measurement) -> dict[str, Any]:
        made = record(asked)
        if (asked.kind, asked.method) == ("reading", "plain"):
            made["result"]["loss"] += 6 * (-1) ** int(asked.document.digest)
        return made

    def results(stage: str, cells: Sequence[Cell]) -> Results:
        return Results(cells, varied)

    plan = planned(2.0, PACE)
    found = conduct(plan, setting(plan), 2000, results, Silent())
    assert (found.judged, found.winner, found.verdict.advice) == (False, None, "none")
    assert found.verdict.obstacle is not None
    assert "what surely beats truncation is not surely better than the plain model" in found.verdict.obstacle
    assert found.verdict.leading in METHODS


@pytest.mark.parametrize("before", ["cpu", None])
def test_speeds_of_different_devices_are_not_compared(before: str | None) -> None:
    """Begun on the CPU, or by a version that did not record where, and resumed on a GPU after the plain model."""

    def moved(asked: Measurement) -> dict[str, Any]:
        where = before if asked.method == "plain" else "cuda:0"
        return record(asked) | ({"device": where} if where else {})

    def results(stage: str, cells: Sequence[Cell]) -> Results:
        return Results(cells, moved)

    plan = planned(2.0, PACE)
    found = conduct(plan, setting(plan), 2000, results, Silent())
    names = "cpu and cuda:0" if before else "cuda:0 and one that was not recorded"
    assert found.warnings == (f"Times are of different devices ({names}): speeds are not compared.",)
    plain, winner = found.row("plain"), found.row(found.winner)
    assert plain is not None
    assert winner is not None
    assert plain.against["truncation"].speed is not None
    assert [against.speed for against in winner.against.values()] == [None, None]
    assert "Speed:" not in " ".join(criteria(found, winner))
    same = conducted(plan)
    assert same.warnings == ()
    best = same.row(same.winner)
    assert best is not None
    assert all(against.speed is not None for against in best.against.values())


def test_parts_of_one_file_get_no_verdict() -> None:
    plan = planned(2.0, PACE)
    parts = tuple(replace(each, path="one.txt", start=4096 * i) for i, each in enumerate(plan.judge))
    found = conducted(replace(plan, judge=parts, whole=parts[: len(plan.whole)]))
    assert found.verdict.obstacle == "all 8 documents are parts of one file"
    assert found.winner is None
