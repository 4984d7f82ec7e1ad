"""Judgement: the verdict on numbers that are made up, and how often it is wrong where there is no difference."""

import random
from dataclasses import replace
from typing import Any

import pytest

from longspan.measure.statistics.racing import Score
from longspan.search.cost import Rating
from longspan.search.judgement import Held, Judgement, judge
from longspan.search.summary import Setting, Summary, Trajectory

NAMES = tuple(f"{i}.txt" for i in range(12))
TRUNCATION = [4.0] * 12


def held(cost: float, price: float = 0.0, noise: float = 0.01, seed: int = 0, count: int = 12) -> Held:
    draw = random.Random(seed)
    scores = tuple(Score(4.0 + i + draw.gauss(cost, noise), 0.5, price + draw.gauss(0, 1e-3)) for i in range(count))
    return Held(scores, tuple(score.cost() for score in scores))


def summary(judgement: Judgement) -> Summary:
    setting = Setting(
        over="frequencies", seed=0, model="m", dtype="float32", fingerprint="0", trained_length=64, length=256,
        tolerance=0.02, documents=("a",), dropped=(), hardware="none", versions={}, command="longspan search",
    )  # fmt: skip
    found, rival = Rating("longrope(...)", 1.0, 1.5, 0.5, 0.0), Rating("yarn", 1.1, 1.6, 0.5, 0.0)
    return Summary(setting, (rival,), Trajectory(9, (1.1, 1.0), {}, False), found, rival, judgement)


def test_a_difference_beyond_chance_beats() -> None:
    """Though documents differ from each other by far more."""
    judged = judge(NAMES, held(-0.05), held(0.0, seed=1), TRUNCATION, 0.02)
    assert judged.verdict == "beats"
    assert judged.difference is not None
    assert judged.difference.value == pytest.approx(-0.05, abs=0.01)
    assert judged.recommends_found
    assert summary(judged).recommended == "longrope(...)"
    assert "beats yarn on 12 documents that the search has not seen: -0.0" in summary(judged).sentence


def test_no_difference_does_not_beat_and_the_known_method_is_recommended() -> None:
    judged = judge(NAMES, held(0.0), held(0.0, seed=1), TRUNCATION, 0.02)
    assert judged.verdict == "does not beat"
    assert summary(judged).recommended == "yarn"
    assert "does not beat yarn on 12 documents that the search has not seen" in summary(judged).sentence


def test_chance_rarely_beats() -> None:
    """One-sided, 2.5 % of 400 draws."""
    beats = [
        judge(NAMES, held(0.0, seed=2 * i), held(0.0, seed=2 * i + 1), TRUNCATION, 0.02).verdict == "beats"
        for i in range(400)
    ]
    assert 1 <= sum(beats) <= 20


def test_fewer_than_eight_documents_give_no_verdict() -> None:
    judged = judge(NAMES[:7], held(-0.05, count=7), held(0.0, seed=1, count=7), TRUNCATION[:7], 0.02)
    assert judged.verdict == "too few documents"
    assert not judged.recommends_found
    assert "No verdict on 7 documents" in summary(judged).sentence


def test_documents_without_far_facts_count_in_loss_only() -> None:
    """They are no documents of which nothing was found, and no documents of a verdict on facts."""

    def some(count: int, facts: float, noise: float) -> Held:
        scores = [Score(4.0 + noise * i % 1, facts if i < count else None) for i in range(12)]
        return Held(tuple(scores), tuple(score.cost() for score in scores[:count]))

    for count, verdict in ((8, "beats"), (7, "too few documents")):
        judged = judge(NAMES, some(count, 1.0, 0.01), some(count, 0.25, 0.02), TRUNCATION[:count], 0.02)
        assert judged.verdict == verdict
        assert judged.loss is not None
        assert judged.facts is not None
        assert judged.difference is not None
        assert judged.facts.value == 0.75
        assert (judged.loss.documents, judged.facts.documents, judged.difference.documents) == (12, count, count)
        assert f"on {count} documents that the search has not seen" in summary(judged).sentence


@pytest.mark.parametrize(("rival_price", "recommended"), [(0.0, False), (0.06, True)])
def test_a_price_that_unseen_documents_raise_is_said(rival_price: float, recommended: bool) -> None:
    judged = judge(NAMES, held(-0.05, price=0.05), held(0.0, rival_price, seed=1), TRUNCATION, 0.02)
    assert judged.verdict == "beats"
    assert judged.affordable is False
    assert judged.recommends_found is recommended
    assert "+0.050 nats on short texts, more than --tolerance 0.02" in summary(judged).sentence


def test_nothing_found_and_failed_have_sentences() -> None:
    nothing = judge(NAMES, held(0.0), None, TRUNCATION, 0.02)
    assert nothing.verdict == "nothing found"
    assert summary(nothing).sentence.startswith("The search found nothing better than yarn on its own documents.")
    failed = Judgement("failed", NAMES, failed="m failed on a held-out document: NaN")
    assert summary(failed).sentence == "No verdict: m failed on a held-out document: NaN."
    assert summary(failed).recommended == "yarn"


BESIDE = "Compared with truncation, the plain model on the last 64 tokens, "


@pytest.mark.parametrize(("truncation", "outcome"), [(2.0, "worse"), (90.0, "better")])
@pytest.mark.parametrize(("cost", "recommended"), [(-0.05, "the found scheme"), (0.05, "yarn")])
def test_what_is_recommended_is_compared_with_truncation(
    cost: float, recommended: str, truncation: float, outcome: str
) -> None:
    """A scheme that beats the best known method may still be worse than to keep the last tokens."""
    said = summary(judge(NAMES, held(cost), held(0.0, seed=1), [truncation] * 12, 0.02)).sentence
    assert f"{BESIDE}{recommended} is {outcome}: {'+' if outcome == 'worse' else '-'}" in said
    assert said.endswith("Keep the last 64 tokens instead.") == (outcome == "worse")


def test_beside_truncation_chance_and_few_documents_are_called_that() -> None:
    found, rival = held(-0.05), held(0.0, seed=1)
    same = summary(judge(NAMES, found, rival, [tail + (-1) ** i for i, tail in enumerate(found.tails)], 0.02))
    assert f"{BESIDE}the found scheme is the same within chance: " in same.sentence
    few = judge(NAMES[:7], held(-0.05, count=7), held(0.0, seed=1, count=7), TRUNCATION[:7], 0.02)
    assert f"{BESIDE}yarn is not judged on so few documents: +" in summary(few).sentence
    nothing = summary(judge(NAMES, held(0.0), None, [90.0] * 12, 0.02))
    assert f"{BESIDE}yarn is better: -" in replace(nothing, found=nothing.rival).sentence


def test_json_holds_everything() -> None:
    found: dict[str, Any] = summary(judge(NAMES, held(-0.05), held(0.0, seed=1), TRUNCATION, 0.02)).json()
    assert found["judgement"]["difference"]["documents"] == 12
    assert found["trajectory"]["best"] == (1.1, 1.0)
    assert found["found"]["cost"] == 1.0
