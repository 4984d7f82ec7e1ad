"""A method has to be surely better than truncation and than the plain model; ties are named, and taken by a rule."""

from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from longspan.measure.statistics.interval import paired
from longspan.study.contrast import Criterion, assess
from longspan.study.decision import (
    INDIFFERENCE,
    Field,
    Scores,
    best_exportable,
    contrast,
    decide,
    leader,
    plain_is_decided,
)

NOISE = [0.01, -0.02, 0.0, 0.02, -0.01, 0.015, -0.015, 0.005]


def scores(loss: float, short: float = 3.0, beyond: float = 0.25, wobble: float = 1.0) -> Scores:
    """Differences to another row vary a little between documents."""
    noise = [n + wobble * m / 2 for n, m in zip(NOISE, reversed(NOISE), strict=True)]
    return Scores([loss + n for n in noise], [short + n for n in NOISE], [beyond + n / 2 for n in noise])


PLAIN = scores(5.0, wobble=0.0)
TRUNCATION = scores(3.0, wobble=0.0)


def judged(plain: Scores = PLAIN, exportable: tuple[str, ...] = (), **methods: Scores) -> Field:
    names = {name.replace("_AND_", " + "): each for name, each in methods.items()}
    return Field(names, plain, TRUNCATION, frozenset(exportable))


def test_the_lowest_cost_wins() -> None:
    found = decide(judged(yarn=scores(2.9), rerope=scores(2.7), ntk=scores(2.8)))
    assert (found.advice, found.winner, found.ties, found.chosen_by) == ("method", "rerope", (), None)


@given(st.lists(st.booleans(), min_size=8, max_size=8).filter(any), st.integers(1, 8))
def test_documents_without_far_facts_are_left_out_of_facts_and_cost_but_not_of_loss(far: list[bool], read: int) -> None:
    """The plain model may have read the first documents only."""

    def masked(row: Scores, count: int = 8) -> Scores:
        found = [facts if holds else None for facts, holds in zip(row.beyond, far, strict=True)]
        return Scores(row.loss[:count], row.short, found[:count])

    def chosen(row: Scores, count: int = 8) -> Scores:
        each = [
            (loss, facts) for loss, facts, holds in list(zip(row.loss, row.beyond, far, strict=True))[:count] if holds
        ]
        return Scores([loss for loss, _ in each], row.short, [facts for _, facts in each])

    assume(any(far[:read]))
    method, plain = scores(2.7, beyond=0.9), scores(5.0, wobble=0.3)
    found = contrast(masked(method), masked(plain, read), plain.short)
    wanted = contrast(chosen(method), chosen(plain, read), plain.short)
    assert (found.facts, found.cost) == (wanted.facts, wanted.cost)
    assert found.facts.documents == sum(far[:read])
    assert found.loss == contrast(method, Scores(plain.loss[:read], plain.short, plain.beyond[:read]), plain.short).loss


def test_facts_outweigh_loss_at_the_exchange() -> None:
    """Ten points of facts are worth 0.1 nats."""
    assert decide(judged(yarn=scores(2.70, beyond=0.40), rerope=scores(2.75, beyond=0.50))).winner == "rerope"
    assert decide(judged(yarn=scores(2.70, beyond=0.46), rerope=scores(2.75, beyond=0.50))).winner == "yarn"


def test_a_method_that_costs_more_than_the_tolerance_on_short_texts_cannot_win() -> None:
    assert decide(judged(yarn=scores(2.5, short=3.03), rerope=scores(2.9, short=3.01))).winner == "rerope"
    assert decide(judged(yarn=scores(2.5, short=3.03))).advice == "truncation"


def test_what_does_not_surely_beat_truncation_cannot_win() -> None:
    assert decide(judged(yarn=scores(3.0), rerope=scores(3.1))).advice == "truncation"


def test_a_window_that_only_keeps_the_loss_does_not_hide_a_method_that_reads() -> None:
    assert decide(judged(window=scores(2.999), rerope=scores(3.05, beyond=0.8))).winner == "rerope"


def test_a_plain_model_that_reads_on_is_left_as_it_is() -> None:
    """It beats truncation, and no method surely beats it."""
    reads = scores(2.7, beyond=0.8, wobble=0.5)
    for method in (scores(2.7, beyond=0.8), scores(2.8, beyond=0.8), scores(3.2)):
        assert decide(judged(reads, yarn=method)).advice == "plain"
    assert decide(judged(reads, yarn=scores(2.5, beyond=0.9))).winner == "yarn"


def test_neither_the_plain_model_nor_a_method_is_better_than_truncation() -> None:
    assert decide(judged(scores(3.0, wobble=0.5), yarn=scores(3.0))).advice == "truncation"


def test_truncation_is_no_advice_where_a_method_surely_beats_it() -> None:
    """The plain model varies too much for any comparison with it."""
    varies = replace(PLAIN, loss=[1.5, 4.5] * 4)
    assert decide(judged(varies, yarn=scores(2.5))).advice == "none"
    assert decide(judged(varies, yarn=scores(3.1))).advice == "truncation"
    assert decide(judged(varies, yarn=scores(2.5, short=3.1))).advice == "truncation"  # too dear for any advice


def test_within_the_trained_length_the_plain_model_is_the_only_baseline() -> None:
    within = replace(judged(yarn=scores(4.0)), truncation=None)
    assert decide(within).winner == "yarn"
    assert decide(replace(within, methods={"yarn": scores(5.0)})).advice == "plain"


def test_of_ties_the_simplest_is_taken() -> None:
    found = decide(judged(rerope_AND_log_length=scores(2.7), rerope=scores(2.705, wobble=4.0), yarn=scores(2.9)))
    assert (found.winner, found.chosen_by) == ("rerope", "simplicity")
    assert [tie.method for tie in found.ties] == ["rerope + log_length"]
    assert found.ties[0].difference.value < 0


def test_of_ties_what_stock_runtimes_express_comes_before_the_simplest() -> None:
    methods = {"rerope": scores(2.7), "yarn_AND_log_length": scores(2.705, wobble=4.0)}
    found = decide(judged(exportable=("yarn + log_length",), **methods))
    assert (found.winner, found.chosen_by) == ("yarn + log_length", "exportable")


def test_of_equally_simple_ties_the_first_candidate_is_taken() -> None:
    first, second = scores(2.705, wobble=4.0), scores(2.7)
    assert decide(judged(rerope=first, self_extend=second)).winner == "rerope"
    assert decide(judged(self_extend=second, rerope=first)).winner == "self_extend"


def test_a_tie_that_costs_more_than_the_indifference_is_named_and_not_taken() -> None:
    wide = [0.3, -0.3, 0.2, -0.2, 0.25, -0.25, 0.1, 0.1]
    far = replace(scores(2.7), loss=[2.7 + n for n in wide])
    found = decide(judged(rerope=far, yarn_AND_log_length=scores(2.6)))
    assert (found.winner, found.chosen_by) == ("yarn + log_length", "cost")
    assert [tie.method for tie in found.ties] == ["rerope"]


def test_a_mean_within_the_indifference_is_not_enough() -> None:
    """The simpler one looks 0.005 nats worse, and may as well be 0.05 worse."""
    wide = [0.1, -0.1, 0.08, -0.08, 0.06, -0.06, 0.04, -0.04]
    simple = replace(scores(2.7), loss=[2.705 + n for n in wide])
    found = decide(judged(rerope_AND_log_length=scores(2.7), rerope=simple))
    assert (found.winner, found.chosen_by) == ("rerope + log_length", "cost")


def test_a_sure_difference_is_no_tie_however_small() -> None:
    """Differences that hardly vary: the simpler one is surely worse by 0.01 nats."""
    shifted = replace(
        scores(2.7), loss=[value + 0.01 + n / 100 for value, n in zip(scores(2.7).loss, NOISE, strict=True)]
    )
    found = decide(judged(rerope_AND_log_length=scores(2.7), rerope=shifted))
    assert (found.winner, found.ties) == ("rerope + log_length", ())


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Any number of methods, near to each other or far, on 8 documents, some read by fewer."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    spread = draw(st.sampled_from([0.01, 0.1, 0.5]))

    def row(documents: int = 8) -> Scores:
        loss, short = (
            random.normal(3 + random.normal(0, spread), 0.05, 8),
            random.normal(3 + random.normal(0, 0.02), 0.01, 8),
        )
        return Scores(
            loss.tolist()[:documents], short.tolist()[:documents], (random.integers(0, 17, 8) / 16).tolist()[:documents]
        )

    names = draw(st.lists(st.sampled_from(["rerope", "yarn", "ntk", "string", "rerope + log_length"]), unique=True))
    methods = {name: row(3 if random.random() < 0.2 else 8) for name in names}
    plain = row()
    whole = draw(st.sampled_from([3, 8]))
    plain = Scores(plain.loss[:whole], plain.short, plain.beyond[:whole])
    return Field(
        methods, plain, draw(st.sampled_from([row(), None])), frozenset(draw(st.sets(st.sampled_from(names or ["x"]))))
    )


@given(fields())
def test_a_winner_surely_beats_both_and_nobody_surely_beats_it(field: Field) -> None:
    found = decide(field)
    assert (found.winner is not None) == (found.advice == "method")
    if found.winner is None:
        return
    best = field.methods[found.winner]
    for base in field.baselines:
        count = len(base.loss)
        assert paired(best.costs[:count], base.costs).below_zero
    for name, other in field.methods.items():
        if name != found.winner and field.affordable(name) and len(other.loss) == 8:
            gap = paired(other.costs, best.costs)
            named = {tie.method for tie in found.ties}
            assert (name in named) == (not gap.above_zero)
            if name in field.worth(field.baselines):
                assert gap.value >= -INDIFFERENCE


@given(fields())
def test_the_advice_surely_loses_to_nothing_that_is_affordable(field: Field) -> None:
    found = decide(field)
    if found.advice == "truncation":
        assert field.truncation is not None
        assert not any(
            paired(each.costs, field.truncation.costs).below_zero
            for name, each in field.methods.items()
            if field.affordable(name) and len(each.loss) == 8
        )


@given(fields())
def test_the_order_of_candidates_decides_between_equally_simple_ones_alone(field: Field) -> None:
    first, second = decide(field), decide(replace(field, methods=dict(reversed(list(field.methods.items())))))
    assert (first.advice, first.winner is None) == (second.advice, second.winner is None)
    if first.winner == second.winner:
        assert first.chosen_by == second.chosen_by
        assert {tie.method for tie in first.ties} == {tie.method for tie in second.ties}
    else:
        winners = [name for name in (first.winner, second.winner) if name]
        assert len({(name in field.exportable, name.count("+")) for name in winners}) == 1


@given(fields(), st.lists(st.integers(-8, 8), min_size=8, max_size=8))
def test_what_makes_a_document_hard_changes_nothing(field: Field, hard: list[int]) -> None:
    """The same for every row: it cancels."""

    def moved(row: Scores) -> Scores:
        return replace(row, loss=[loss + more for loss, more in zip(row.loss, hard, strict=False)])

    methods = {name: moved(row) for name, row in field.methods.items()}
    again = replace(
        field, methods=methods, plain=moved(field.plain), truncation=field.truncation and moved(field.truncation)
    )
    first, second = decide(field), decide(again)
    assert (first.advice, first.winner, first.chosen_by) == (second.advice, second.winner, second.chosen_by)
    assert {tie.method for tie in first.ties} == {tie.method for tie in second.ties}
    assert leader(field) == leader(again)
    assert plain_is_decided(field) == plain_is_decided(again)


@given(fields())
def test_a_method_that_has_not_read_every_document_does_not_win(field: Field) -> None:
    winner = decide(field).winner
    assert winner is None or len(field.methods[winner].loss) == field.documents


def test_a_price_of_just_the_tolerance_is_affordable() -> None:
    base = Scores([4.0] * 8, [3.0] * 8, [0.0] * 8)
    one = Field({"yarn": replace(base, short=[3.5] * 8)}, base, None, tolerance=0.5)
    assert one.affordable("yarn")
    assert not replace(one, tolerance=0.499).affordable("yarn")


@pytest.mark.parametrize(("share", "winner"), [(0.999, "rerope"), (1.001, "rerope + log_length")])
def test_a_mean_and_its_standard_error_have_to_be_within_the_indifference(share: float, winner: str) -> None:
    """Half of the gaps are m + s and half are m − s: the standard error of eight is s / √7."""
    mean = 0.004
    spread = (share * INDIFFERENCE - mean) * 7**0.5
    whole = [2.7 + n for n in NOISE]
    simple = replace(PLAIN, loss=[a + mean + (-1) ** i * spread for i, a in enumerate(whole)])
    field = judged(rerope_AND_log_length=replace(PLAIN, loss=whole), rerope=simple)
    assert decide(field).winner == winner


def test_the_lowest_cost_of_all_is_no_reason_where_a_tie_has_a_lower_one() -> None:
    """It varies, so that it does not surely beat truncation; or it read three documents only."""
    varies = replace(scores(2.2), loss=[1.0, 3.4] * 4)
    few = Scores(scores(2.0).loss[:3], PLAIN.short[:3], scores(2.0).beyond[:3])
    for tie in (varies, few):
        found = decide(judged(yarn=scores(2.5), ntk=tie))
        assert (found.winner, found.chosen_by) == ("yarn", "proof")
        assert [each.method for each in found.ties] == ["ntk"]


@pytest.mark.parametrize(
    ("exportable", "chosen_by"),
    [((), "simplicity"), (("rerope",), "exportable"), (("rerope", "rerope + log_length"), "simplicity")],
)
def test_why_a_tie_was_taken(exportable: tuple[str, ...], chosen_by: str) -> None:
    """What all of them have did not decide."""
    field = judged(exportable=exportable, rerope_AND_log_length=scores(2.7), rerope=scores(2.705, wobble=4.0))
    assert (decide(field).winner, decide(field).chosen_by) == ("rerope", chosen_by)


@given(fields(), st.randoms(use_true_random=False))
def test_the_order_of_documents_changes_nothing(field: Field, random) -> None:
    order = random.sample(range(3), 3) + random.sample(range(3, 8), 5)

    def moved(row: Scores) -> Scores:
        kept = ([values[i] for i in order if i < len(values)] for values in (row.loss, row.short, row.beyond))
        loss, short, beyond = kept
        return Scores(loss, short, beyond)

    again = Field(
        {name: moved(row) for name, row in field.methods.items()},
        moved(field.plain),
        moved(field.truncation) if field.truncation else None,
        field.exportable,
    )
    first, second = decide(field), decide(again)
    assert (first.advice, first.winner, first.chosen_by) == (second.advice, second.winner, second.chosen_by)
    assert {tie.method for tie in first.ties} == {tie.method for tie in second.ties}


def test_the_plain_model_reads_on_until_it_is_surely_behind() -> None:
    few = Scores(PLAIN.loss[:3], PLAIN.short, PLAIN.beyond[:3])
    near = Scores(scores(2.7).loss[:3], PLAIN.short, scores(2.7).beyond[:3])
    assert plain_is_decided(judged(few, yarn=scores(2.7)))
    assert plain_is_decided(judged(PLAIN, yarn=scores(2.7)))
    assert plain_is_decided(judged(few, yarn=scores(3.5)))
    assert not plain_is_decided(judged(near, yarn=scores(2.7)))
    assert not plain_is_decided(judged(near, yarn=scores(3.5)))


def test_the_plain_model_need_only_be_behind_the_best_rival() -> None:
    """It is between two methods that surely beat truncation, about as good as the worse one."""
    between = Scores(scores(2.7).loss[:3], PLAIN.short, scores(2.7).beyond[:3])
    assert not plain_is_decided(judged(between, yarn=scores(2.7)))
    assert plain_is_decided(judged(between, yarn=scores(2.7), rerope=scores(2.2)))
    assert plain_is_decided(judged(between, rerope=scores(2.2), yarn=scores(2.7)))
    assert not plain_is_decided(judged(between, yarn=scores(2.7), rerope=scores(2.2, short=3.1)))  # too dear to win


def test_within_the_trained_length_the_plain_model_reads_every_document() -> None:
    """It is the baseline, so that what is missing could change every comparison."""
    few = Scores(PLAIN.loss[:3], PLAIN.short, PLAIN.beyond[:3])
    assert not plain_is_decided(replace(judged(few, yarn=scores(2.7)), truncation=None))
    assert plain_is_decided(replace(judged(yarn=scores(2.7)), truncation=None))


def test_exportable_methods_are_compared_on_every_document_that_truncation_has_read() -> None:
    """The plain model has read three, on which the worse one looks better."""
    few = Scores(PLAIN.loss[:3], PLAIN.short, PLAIN.beyond[:3])
    early = replace(PLAIN, loss=[2.0] * 3 + [4.0] * 5)
    found = judged(few, ("ntk", "yarn"), ntk=early, yarn=scores(2.9))
    assert best_exportable(found) == "yarn"
    assert best_exportable(replace(found, truncation=None)) == "ntk"


def test_the_best_exportable_is_affordable_whole_and_cheap() -> None:
    names = ("yarn", "ntk", "linear")
    methods = {"rerope": scores(2.0), "yarn": scores(2.5, short=3.1), "ntk": scores(3.2), "linear": scores(3.3)}
    assert best_exportable(judged(exportable=names, **methods)) == "ntk"
    assert best_exportable(judged(exportable=names[:1], **methods)) == "yarn"
    assert best_exportable(judged(rerope=scores(2.0))) is None
    methods["ntk"] = Scores(methods["ntk"].loss[:3], methods["ntk"].short[:3], methods["ntk"].beyond[:3])
    assert best_exportable(judged(exportable=names, **methods)) == "linear"


def test_the_leader_has_the_lowest_mean_cost_of_those_that_cost_short_texts_little() -> None:
    dear, rerope, ntk = scores(2.85, short=3.03), scores(2.9), scores(2.8, beyond=0.1)
    assert leader(judged(yarn=dear, rerope=rerope, ntk=ntk)) == "rerope"
    assert leader(judged(yarn=dear)) == "yarn"  # 0.15 nats ahead, and 0.1 for 0.01 nats too many
    assert leader(judged(yarn=scores(2.85, short=3.036))) == "truncation"
    assert leader(judged(yarn=dear, rerope=rerope, ntk=ntk, window=scores(2.89))) == "window"
    assert leader(judged(ntk=scores(3.1))) == "truncation"
    assert leader(judged(scores(2.8), rerope=scores(2.9))) == "plain"
    assert leader(replace(judged(rerope=scores(5.1)), truncation=None)) == "plain"
    assert leader(replace(judged(rerope=scores(4.9)), truncation=None)) == "rerope"


def test_of_equal_leaders_what_costs_nothing_comes_first_then_the_first_candidate() -> None:
    same = scores(2.9)
    assert leader(judged(yarn=same, rerope=same)) == "yarn"
    assert leader(judged(rerope=same, yarn=same)) == "rerope"
    assert leader(judged(yarn=TRUNCATION)) == "truncation"
    assert leader(judged(TRUNCATION, yarn=TRUNCATION)) == "truncation"
    assert leader(replace(judged(yarn=PLAIN), truncation=None)) == "plain"


def test_a_price_below_the_tolerance_is_no_advantage() -> None:
    """Neither does a method that is better on short texts lead by that."""
    for short in (3.0, 3.019, 2.0):
        assert leader(judged(yarn=scores(2.9, short=short), rerope=scores(2.85, short=3.0))) == "rerope"


@given(fields())
def test_a_verdict_of_one_method_is_that_of_the_leader(field: Field) -> None:
    """What is surely better than every baseline is ahead of them."""
    found = decide(field)
    if found.advice == "method" and len(field.methods) == 1:
        assert leader(field) == found.winner
    elif found.winner is None and found.advice == "plain":
        assert leader(field) != "truncation"


def test_a_contrast_compares_criterion_by_criterion() -> None:
    method = replace(scores(2.8, short=3.05, beyond=0.5), seconds=[2.0] * 8)
    found = contrast(method, replace(TRUNCATION, seconds=[1.0] * 8), PLAIN.short)
    assert round(found.loss.value, 2) == -0.2
    assert round(found.facts.value, 2) == 0.25
    assert round(found.short.value, 2) == 0.05
    assert found.cost is not None
    assert found.cost.value == pytest.approx(found.loss.value - found.facts.value)
    assert found.speed is not None
    assert found.speed.value == pytest.approx(0.5)
    assert found.which("better") == (Criterion.LOSS, Criterion.FACTS)
    assessed = assess(found, tolerance=0.02)
    assert (assessed.affordable, assessed.beats_in_loss, assessed.beats_in_retrieval) == (False, True, True)


def test_shares_are_those_of_the_documents_that_both_have_read() -> None:
    method = Scores([3.0] * 8, [3.0] * 8, [1.0, 0.5, None, *[0.0] * 5])
    few = Scores([3.0] * 3, [3.0] * 8, [0.25, 0.5, None])
    assert contrast(method, few, PLAIN.short).shares == (0.75, 0.375)
    assert contrast(few, method, PLAIN.short).shares == (0.375, 0.75)
    assert contrast(method, method, PLAIN.short).shares is None


def test_speed_is_the_geometric_mean_of_ratios() -> None:
    """Twice as fast on one text and half as fast on another is as fast."""
    method = replace(TRUNCATION, seconds=[1.0, 4.0] * 4)
    found = contrast(method, replace(TRUNCATION, seconds=[2.0] * 8), PLAIN.short).speed
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert found.low * found.high == pytest.approx(1.0)
    assert found.low < exp(0) < found.high
    assert contrast(TRUNCATION, TRUNCATION, PLAIN.short).speed is None


@pytest.mark.parametrize("seconds", [[0.0] + [2.0] * 7, [2.0] * 7 + [0.0]])
def test_a_text_that_took_no_time_gives_no_speed(seconds: list[float]) -> None:
    """A clock that is too coarse; of either side."""
    timed, coarse = replace(TRUNCATION, seconds=[1.0] * 8), replace(TRUNCATION, seconds=seconds)
    assert contrast(timed, coarse, PLAIN.short).speed is None
    assert contrast(coarse, timed, PLAIN.short).speed is None


def test_speed_is_of_the_documents_that_both_have_read() -> None:
    few, all_of_them = replace(TRUNCATION, seconds=[1.0, 2.0]), replace(TRUNCATION, seconds=[2.0, 4.0] + [99.0] * 6)
    for first, second, value in ((few, all_of_them, 2.0), (all_of_them, few, 0.5)):
        found = contrast(first, second, PLAIN.short).speed
        assert found is not None
        assert (found.value, found.documents) == (pytest.approx(value), 2)
