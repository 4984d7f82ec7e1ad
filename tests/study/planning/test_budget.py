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
from longspan.study.planning.budget import FEWEST_CANDIDATES, FEWEST_WHOLE, RESERVE, full_plan, plan_within
from longspan.study.planning.cells import measurements
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
    """What a second allows."""
    return plan_within(1.0, PACE, SUBJECT, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])


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


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_nothing_is_measured_twice(share: float) -> None:
    found, _ = within(share)
    keys = [m.key for m in (*race(found), *judgement(found, 3))]
    assert len(set(keys)) == len(keys)


def test_a_verdict_is_always_possible() -> None:
    """However small the budget: the judged documents, the trained and the wanted length, and a race stay."""
    found = least()
    assert found.candidates == METHODS
    assert found.readings == FEWEST_CANDIDATES
    assert [asked.length for asked in race(found)] == [1024] * (1 + len(METHODS)) + [2304] * (1 + FEWEST_CANDIDATES)
    assert found.finalists == 1
    assert len(judgement(found, 1)) < len(judgement(found, 2))
    assert found.judge == DOCUMENTS[3:]
    assert found.contexts == (4096,)
    assert found.lengths == (4096,)


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
        assert FEWEST_CANDIDATES <= plan.readings < len(plan.candidates)


@pytest.mark.parametrize(("length", "readings"), [(1024, 12), (2047, 12), (2048, 4), (4096, 4)])
def test_where_no_text_is_much_shorter_all_race(length: int, readings: int) -> None:
    subject = replace(SUBJECT, length=length)
    found = plan_within(1.0, PACE, subject, METHODS, DOCUMENTS[:3], DOCUMENTS[3:])
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
