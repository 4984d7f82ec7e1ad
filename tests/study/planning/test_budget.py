from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given

from longspan.grid.pace import Pace
from longspan.measure.corpus.documents import Document
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.retrieval import Retrieval
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement
from longspan.measure.models.model import PLAIN
from longspan.study.planning.budget import (
    FEWEST_CANDIDATES,
    FEWEST_WHOLE,
    OVERRUN,
    RESERVE,
    full_plan,
    plan_within,
    shortest_verdict,
)
from longspan.study.planning.cells import Quantity, measurements
from longspan.study.planning.plan import StudyPlan
from longspan.study.planning.subject import Subject
from study.drawn import plans

SUBJECT = Subject("m", "float32", "0" * 16, 512, 4096)
DOCUMENTS = tuple(Document(f"{i}.txt", 0, 4096, str(i)) for i in range(11))
PACE = Pace(0.01, 1e-6)
METHODS = tuple(f"rerope(window={w})" for w in range(100, 112))


def race(plan: StudyPlan) -> list[Measurement]:
    return measurements(plan.whole_race())


def judgement_of(plan: StudyPlan, methods: Sequence[str]) -> list[Measurement]:
    return measurements(plan.judgement_cells(methods))


def judgement(plan: StudyPlan, finalists: int) -> list[Measurement]:
    return judgement_of(plan, METHODS[:finalists])


def least() -> StudyPlan:
    """The shortest study with a verdict."""
    return shortest_verdict(full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:]))


def test_without_a_limit_everything_is_measured() -> None:
    found = full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
    assert found.contexts == (256, 512, 1024, 2048, 4096)
    assert found.lengths == (512, 1024, 2048, 4096)
    assert found.candidates == METHODS
    assert found.left_out == ()
    assert len(race(found)) == 13 * 3
    assert found.seconds(PACE) > sum(map(PACE.seconds, race(found)))


def within(share: float) -> tuple[StudyPlan, float]:
    """The plan that may take a share of the full one's time, and that time."""
    full = full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
    affordable = share * full.seconds(PACE)
    return plan_within(affordable, PACE, SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:]), affordable


def test_the_budget_is_kept_and_what_is_left_out_is_said() -> None:
    for share in (0.9, 0.7, 0.5, 0.3):
        found, affordable = within(share)
        assert found.seconds(PACE) <= (1 - RESERVE) * affordable
        assert found.left_out
        assert found.judge == DOCUMENTS[3:]


def test_nothing_is_left_out_that_later_omissions_made_room_for() -> None:
    """Where one judged method alone saves enough, every candidate still races."""
    shares = (0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.26, 0.3)
    plans = [found for found, affordable in map(within, shares) if found.seconds(PACE) <= affordable]
    assert {1} < {found.finalists for found in plans}
    most = max(found.readings for found in plans if found.finalists == 1)
    assert most > FEWEST_CANDIDATES
    for one, more in pairwise(plans):
        assert one.seconds(PACE) <= more.seconds(PACE)


def test_where_the_plain_model_is_not_read_to_the_end_its_price_base_still_is_measured() -> None:
    found = least()
    asked = judgement(found, 1)
    assert sum(isinstance(m, Short) for m in asked) == 8
    assert sum(isinstance(m, Reading) and m.method == "plain" for m in asked) == FEWEST_WHOLE
    assert not any(isinstance(m, Short) for m in judgement(within(1.0)[0], 1))


@given(plans())
def test_what_a_price_starts_from_does_not_depend_on_the_budget_where_the_model_follows_the_length(
    plan: StudyPlan,
) -> None:
    """The race reads the plain model's beginning alone; the judgement does too, whatever else the plain model reads."""
    follows = replace(plan, follows_length=True)
    cells = [cell for cell in follows.judgement_cells(METHODS[:1]) if cell.quantity == Quantity.SHORT]
    bases = [cell.asked for cell in cells if cell.row == PLAIN]
    assert [asked.document for asked in bases] == list(plan.judge)
    if not plan.subject.within:  # within it, both read the same tokens
        assert all(isinstance(asked, Short) for asked in bases)
        assert all(isinstance(cell.asked, Reading) for cell in cells if cell.row != PLAIN)
    assert follows.seconds(PACE) >= plan.seconds(PACE)


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_nothing_is_measured_twice(share: float) -> None:
    found, _ = within(share)
    keys = [m.key for m in (*race(found), *judgement(found, 3))]
    assert len(set(keys)) == len(keys)


def test_what_a_verdict_needs() -> None:
    """The judged documents, the wanted length, and a race stay; the plain model's beginning is the base of a price."""
    found = least()
    assert found.candidates == METHODS
    assert found.readings == FEWEST_CANDIDATES
    lengths = [1024] * (1 + len(METHODS)) + [2304] * (1 + FEWEST_CANDIDATES)
    assert [asked.length for asked in race(found)] == lengths
    assert [asked.length for asked in race(found) if isinstance(asked, Short)] == [1024, 2304]
    assert found.finalists == 1
    assert len(judgement(found, 1)) < len(judgement(found, 2))
    assert found.judge == DOCUMENTS[3:]
    assert found.contexts == (4096,)
    assert found.lengths == (4096,)


@pytest.mark.parametrize("length", [400, 700, 4096])
def test_a_budget_is_kept_or_nothing_shorter_exists(length: int) -> None:
    """At most `OVERRUN` times the budget, from the time of the shortest study on; fewer documents, less time."""
    subject = replace(SUBJECT, length=length)
    asked = subject, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], frozenset(METHODS[9:])
    shortest, verdict = plan_within(1e-9, PACE, *asked), shortest_verdict(full_plan(*asked)).seconds(PACE)
    assert len(shortest.judge) == 1
    assert shortest.reserved == 0
    least = shortest.seconds(PACE)
    assert least < verdict / 1.5
    counts = []
    for share in (1 / OVERRUN, 1.2, 1.5, 3.0):
        found = plan_within(share * least, PACE, *asked)
        assert found.seconds(PACE) <= max(OVERRUN * share, 1.0) * least + 1e-6
        assert (len(found.judge) == 8) == (verdict <= OVERRUN * share * least)
        assert any("no full verdict" in words for words in found.left_out) == (len(found.judge) < 8)
        counts.append(len(found.judge))
    assert counts == sorted(counts)
    assert plan_within(verdict / OVERRUN + 1e-6, PACE, *asked).judge == DOCUMENTS[3:]


def test_the_shortest_study_reads_a_text_with_all_and_a_document_with_two() -> None:
    """Reading one document with two methods that look best misses less than with one (experiments/regret)."""
    found = plan_within(1.0, PACE, SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], frozenset(METHODS[5:]))
    assert [(asked.length, asked.method) for asked in race(found)] == [(1024, each) for each in ("plain", *METHODS)]
    asked = judgement(found, found.finalists)
    assert [(each.kind, each.method) for each in asked] == [
        ("truncation", "plain"), ("reading", "plain"), ("reading", METHODS[0]), ("reading", METHODS[1]),
    ]  # fmt: skip
    assert {each.document for each in asked} == {DOCUMENTS[3]}
    assert found.outline == (
        "all 12 candidates on one text of 1024 tokens, then the best 2 on 1 document of 4096 tokens"
    )


@given(plans())
def test_every_candidate_reads_a_text_whatever_the_budget(plan: StudyPlan) -> None:
    asked = race(plan)
    if not plan.races:
        assert asked == []
    else:
        assert {each.method for each in asked} == {"plain", *plan.candidates}
        assert len({each.key for each in asked}) == len(asked)
    if plan.entry_length is not None:
        own = plan.subject
        assert 2 * own.trained_length == plan.entry_length <= own.length / 2 < plan.race_length
        assert sum(each.length == plan.entry_length for each in asked) == 1 + len(plan.candidates)
        assert (plan.readings or FEWEST_CANDIDATES) >= FEWEST_CANDIDATES
        assert plan.readings < len(plan.candidates)


@pytest.mark.parametrize(("length", "readings"), [(1024, 12), (2047, 12), (2048, 3), (4096, 3)])
def test_where_no_text_is_much_shorter_all_race(length: int, readings: int) -> None:
    subject = replace(SUBJECT, length=length)
    found = shortest_verdict(full_plan(subject, METHODS, DOCUMENTS[:3], DOCUMENTS[3:]))
    assert (found.readings, found.entry_length is None) == (readings, readings == len(METHODS))


def test_a_reserved_place_is_paid_for_once() -> None:
    """For the best method that stock runtimes express, where it is not among the finalists."""

    def seconds(*exportable: str) -> float:
        return full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:], frozenset(exportable)).seconds(PACE)

    plan = full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
    judged, more = (
        set(measurements(plan.judgement_cells(names))) for names in (METHODS[:3], (*METHODS[:3], METHODS[5]))
    )
    price = sum(map(PACE.seconds, more - judged))
    assert price > 0
    assert seconds(METHODS[5]) - seconds() == pytest.approx(price)
    assert seconds(METHODS[3]) == pytest.approx(seconds(METHODS[5]))
    assert seconds(METHODS[5], METHODS[7]) == seconds(METHODS[5])
    assert seconds(METHODS[1]) == seconds() == seconds(METHODS[0], METHODS[2])


def test_a_reserved_method_reads_what_the_plain_model_reads() -> None:
    plan = replace(full_plan(SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:]), whole=DOCUMENTS[3:6])
    asked = judgement_of(plan, (*METHODS[:3], METHODS[5]))
    read = {name: {each.document for each in asked if each.method == name and each.length == 4096} for name in METHODS}
    assert read[METHODS[5]] == set(DOCUMENTS[3:6])
    assert read[METHODS[2]] == set(DOCUMENTS[3:])


def test_four_methods_race_for_three_places() -> None:
    assert full_plan(SUBJECT, METHODS[:4], DOCUMENTS[:3], DOCUMENTS[3:]).races


def test_three_methods_need_no_race() -> None:
    found = full_plan(SUBJECT, METHODS[:3], (), DOCUMENTS)
    assert not found.races
    assert race(found) == []
    assert not plan_within(1.0, PACE, SUBJECT, METHODS[:3], (), DOCUMENTS).races


def test_truncation_is_measured_even_where_no_context_is_left() -> None:
    found = least()
    asked = judgement(found, 1)
    assert [m.length for m in asked if isinstance(m, Truncation)] == [4096] * 8


def test_truncation_is_asked_at_every_length_beyond_the_trained_one() -> None:
    found = full_plan(SUBJECT, METHODS[:3], (), DOCUMENTS[:1])
    cut = [m.length for m in judgement(found, 3) if isinstance(m, Truncation)]
    assert cut == [1024, 2048, 4096]


def test_long_readings_cost_more_than_their_tokens() -> None:
    """The same budget that attention uses up at the wanted length pays for more short contexts where it counts less."""
    short, long = (SUBJECT.ask(Retrieval, DOCUMENTS[0], length=n) for n in (512, 4096))
    assert PACE.seconds(long) / PACE.seconds(short) > 4096 / 512
    assert PACE.seconds(replace(SUBJECT.ask(Context, DOCUMENTS[0], context=512), tail=1)) == PACE.seconds(short)


def test_the_pace_is_that_of_the_two_readings_and_no_share_is_negative() -> None:
    for short, long in (((512, 3.0), (4096, 40.0)), ((512, 3.0), (4096, 20.0)), ((512, 3.0), (4096, 900.0))):
        found = Pace.of(short, long)
        assert min(found.per_token, found.per_pair) >= 0
        assert found.seconds(SUBJECT.ask(Reading, DOCUMENTS[0])) == pytest.approx(long[1])
    steady = Pace.of((512, 3.0), (4096, 40.0))
    assert steady.seconds(SUBJECT.ask(Short, DOCUMENTS[0])) == pytest.approx(3.0)
