"""Certificates of effective length: coverage, the order of lengths, and fewer documents than an interval needs."""

import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.statistics.effective import (
    NOLIMA,
    Certificate,
    Claim,
    Finding,
    Share,
    Threshold,
    beyond_guessing,
    certify,
)
from longspan.measure.statistics.interval import mean

RUNS = 1000
LENGTHS = (1024, 2048, 4096, 8192)
pairs = st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])] * 2), min_size=1, max_size=40)
claims = st.builds(lambda kind, value: kind(value), st.sampled_from([Share, Threshold]), st.floats(0.05, 0.95))


def found(drawn: list[tuple[float, float]], claim: Claim, level: float = 0.95) -> Finding:
    """What is known at one length, from a score and a short score of each document."""
    return certify({512: [score for score, _ in drawn]}, [short for _, short in drawn], claim, level).findings[0]


def run(draw: np.random.Generator, means: tuple[float, ...], documents: int, short: float = 0.95) -> Certificate:
    """Scores of documents that differ: what makes one hard at a length makes it hard on short texts too."""
    ease = draw.normal(0, 0.05, documents)
    scores = [draw.binomial(4, np.clip(m + ease, 0, 1)) / 4 for m in (short, *means)]
    return certify(dict(zip(LENGTHS, map(list, scores[1:]), strict=True)), list(scores[0]))


@pytest.mark.parametrize("means", [(0.9, 0.9, 0.79, 0.79), (0.9, 0.79, 0.9, 0.9), (0.79, 0.79, 0.79, 0.79)])
def test_a_certificate_is_false_in_at_most_5_of_100_runs(means: tuple[float, ...]) -> None:
    """0.79 lies below 85 % of the short score, 0.95: no length from the first such one on may be certified."""
    draw, honest = np.random.default_rng(1), next(i for i, m in enumerate(means) if m < 0.85 * 0.95)
    reached = [run(draw, means, 40).length for _ in range(RUNS)]
    false = sum(length is not None and length >= LENGTHS[honest] for length in reached)
    assert false <= 0.05 * RUNS


def test_clear_effects_take_fewer_documents_than_an_interval_of_fixed_size() -> None:
    """An interval's size is fixed beforehand, for the smallest difference of interest: 5 points at a power of 80 %."""
    draw = np.random.default_rng(2)
    deviation, planned = 0.2, int(np.ceil((1.645 + 0.842) ** 2 * 0.2**2 / 0.05**2))
    stopped = []
    for _ in range(200):
        long = list(np.clip(draw.normal(0.98, deviation / 2, planned), 0, 1))
        short = list(np.clip(draw.normal(0.98, deviation / 2, planned), 0, 1))
        decided = (n for n in range(1, planned + 1) if certify({1024: long[:n]}, short[:n]).decided)
        stopped.append(next(decided, planned))
    assert planned == 99
    assert np.median(stopped) <= 0.5 * planned


@given(pairs, st.floats(0.05, 0.95))
def test_a_threshold_is_refuted_as_its_mirror_image_is_proved(drawn: list[tuple[float, float]], value: float) -> None:
    """A score of at most t is a share of mistakes of at least 1 − t."""
    mirrored = [(1 - score, short) for score, short in drawn]
    other = {"holds": "fails", "fails": "holds", "open": "open"}
    verdict, mirror = found(drawn, Threshold(value)), found(mirrored, Threshold(1 - value))
    assert mirror.verdict == other[verdict.verdict]
    assert mirror.needed == verdict.needed
    assert mirror.score == pytest.approx(1 - verdict.score)


@given(pairs, claims, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_claim_holds_where_it_is_within_its_bound(
    drawn: list[tuple[float, float]], claim: Claim, level: float
) -> None:
    """Two ways to the same verdict; the bound is found to three digits."""
    finding = found(drawn, claim, level)
    assert finding.score == pytest.approx(np.mean([score for score, _ in drawn]))
    assert 0 <= finding.bound <= 1
    if finding.verdict == "holds":
        assert finding.bound > claim.value - 0.001
    else:
        assert finding.bound < claim.value


@given(pairs, claims, st.integers(0, 39), st.sampled_from([0.0, 1.0]))
def test_a_better_score_takes_no_proof_back(
    drawn: list[tuple[float, float]], claim: Claim, where: int, better: float
) -> None:
    """Of a document with a score of 1, or a short score of 0: nothing that is asked can be exceeded further."""
    where %= len(drawn)
    score, short = drawn[where]
    best = max(score, better), (short if better else 0.0)
    order = ["fails", "open", "holds"]
    before, after = found(drawn, claim), found([*drawn[:where], best, *drawn[where + 1 :]], claim)
    assert order.index(after.verdict) >= order.index(before.verdict)
    assert after.bound >= before.bound


@given(st.sampled_from([(1.0, 1.0), (0.9, 1.0), (0.5, 0.5), (0.25, 1.0), (0.0, 0.5)]), claims)
def test_of_equal_documents_exactly_the_needed_ones_decide(document: tuple[float, float], claim: Claim) -> None:
    """For a claim and against it; as many fewer are open."""
    needed = found([document], claim).needed
    if needed is None or needed > 300:
        assert abs(claim.excess(*document)) < 0.03
        return
    assert found([document] * needed, claim).verdict == ("holds" if claim.excess(*document) > 0 else "fails")
    assert needed == 1 or found([document] * (needed - 1), claim).verdict == "open"


@given(pairs, claims, st.permutations(LENGTHS))
def test_the_order_in_which_lengths_are_given_changes_nothing(
    drawn: list[tuple[float, float]], claim: Claim, order: list[int]
) -> None:
    short = [second for _, second in drawn]
    scores = {length: [max(0.0, first - i / 4) for first, _ in drawn] for i, length in enumerate(LENGTHS)}
    mixed = certify({length: scores[length] for length in order}, short, claim)
    assert mixed == certify(scores, short, claim)
    assert [finding.length for finding in mixed.findings] == list(LENGTHS)
    proved = [finding.length for finding in mixed.findings if finding.verdict == "holds"]
    assert mixed.length is None or mixed.length in proved
    assert (mixed.length is None) == (mixed.findings[0].verdict != "holds")


@pytest.mark.parametrize(
    ("scores", "decided"),
    [
        ({512: [1.0] * 40, 1024: [1.0] * 40}, True),
        ({512: [1.0] * 40, 1024: [0.0] * 40}, True),
        ({512: [1.0] * 40, 1024: [1.0] * 3}, False),
        ({512: [1.0] * 3, 1024: [0.0] * 40}, False),
    ],
    ids=["all hold", "the second fails", "the second is open", "the first is open, whatever comes later"],
)
def test_a_certificate_is_decided_where_more_documents_change_nothing(
    scores: dict[int, list[float]], decided: bool
) -> None:
    assert certify(scores, [1.0] * 40).decided is decided


def test_nothing_is_known_of_no_documents() -> None:
    finding = certify({512: []}, [0.5]).findings[0]
    assert (finding.verdict, finding.score, finding.bound, finding.documents) == ("open", 0.0, 0.0, 0)
    assert finding.needed is None


def test_the_first_length_that_is_not_proved_ends_the_row() -> None:
    found = certify({1024: [1.0] * 40, 2048: [1.0, 0.0] * 20, 4096: [1.0] * 40}, [1.0] * 40)
    assert [finding.verdict for finding in found.findings] == ["holds", "fails", "holds"]
    assert found.length == 1024
    assert found.decided


def test_a_share_is_paired_by_document() -> None:
    """Hard documents are hard at every length; what differs from document to document cancels."""
    hard = [0.1 * (i % 10) for i in range(60)]
    assert certify({1024: hard}, hard).length == 1024
    assert certify({1024: hard}, hard[::-1]).findings[0].verdict == "open"
    assert certify({1024: hard}, hard, Threshold(0.85)).findings[0].verdict == "fails"


def test_too_few_documents_are_open_and_say_how_many_are_needed() -> None:
    finding = certify({1024: [1.0] * 5}, [1.0] * 5).findings[0]
    assert (finding.verdict, finding.documents) == ("open", 5)
    assert finding.needed is not None
    assert certify({1024: [1.0] * finding.needed}, [1.0] * finding.needed).length == 1024


@pytest.mark.parametrize("claim", [NOLIMA, Threshold(0.6)])
def test_the_bound_is_the_largest_claim_that_holds(claim: Claim) -> None:
    scores, short = [0.75, 1.0, 1.0, 0.75] * 20, [1.0, 1.0, 0.75, 1.0] * 20
    bound = certify({512: scores}, short, claim).findings[0].bound
    assert certify({512: scores}, short, type(claim)(bound - 0.002)).length == 512
    assert certify({512: scores}, short, type(claim)(bound + 0.002)).length is None
    assert bound <= mean([a / b for a, b in zip(scores, short, strict=True)]).value


@pytest.mark.parametrize(
    ("scores", "short", "words"),
    [
        ({}, [1.0], "needs scores at one length at least"),
        ({512: [1.0, 1.0]}, [1.0], "2 documents have a score at 512 tokens and 1 a short one"),
        ({512: [1.2]}, [1.0], "scores at 512 tokens must lie between 0 and 1"),
    ],
)
def test_scores_that_mean_nothing_are_refused(scores: dict[int, list[float]], short: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        certify(scores, short)


@given(st.sampled_from([Share, Threshold]), st.integers(1, 9999))
def test_a_claim_is_said_as_it_was_asked(kind: type[Claim], parts: int) -> None:
    """To the last digit: a claim that is rounded up is another claim."""
    said = re.search(r"([\d.]+)%", str(kind(parts / 10_000)))
    assert said is not None
    assert Decimal(said[1]) == Decimal(parts) / 100


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(1, 60))
def test_guessing_keeps_any_share_of_a_guessed_score(value: float, guessing: float, documents: int) -> None:
    """Its short score is guessed, and so is what it scores at any length."""
    assert not beyond_guessing(Share(value), [guessing] * documents, guessing)
    assert not beyond_guessing(Threshold(value), [], value)


def test_a_share_is_beyond_guessing_where_the_short_score_is_far_enough_above_it() -> None:
    """85 % of 0.28 is 0.238, less than one in four: guessing would keep it at every length."""
    assert not beyond_guessing(NOLIMA, [0.28] * 10_000, 0.25)
    assert beyond_guessing(NOLIMA, [0.31] * 10_000, 0.25)
    assert not beyond_guessing(NOLIMA, [1.0], 0.25)  # one document proves nothing
    assert not beyond_guessing(Share(0.4), [1.0] * 100, 0.5)
    assert not beyond_guessing(NOLIMA, [1.0] * 100, 1.0)
    assert beyond_guessing(NOLIMA, [0.01] * 100, 0.0)
    assert beyond_guessing(Threshold(0.5), [], 0.25)


def test_a_claim_lies_between_0_and_1() -> None:
    with pytest.raises(InputError, match="a share must lie between 0 and 1, got 1"):
        Share(1.0)
    with pytest.raises(InputError, match="a threshold must lie between 0 and 1, got 0"):
        Threshold(0.0)
