"""What a survey's rows say of their records."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from longspan.measure.statistics.effective import NOLIMA, Claim, Threshold
from longspan.survey.plan import SurveyPlan
from longspan.survey.probes import Probe, TaskProbe
from longspan.survey.summary import Setting, TaskRow, summarize

SETTING = Setting(
    model="m", trained_length=64, dtype="float32", fingerprint="0", documents=(), hardware="none", versions={},
    command="longspan measure", lengths=(64, 128), claim="", out_of_time=False,
)  # fmt: skip


def rows(
    results: Mapping[int, Mapping[str, Any]],
    claim: Claim = NOLIMA,
    methods: tuple[str, ...] = ("plain",),
    count: int = 2,
) -> Sequence[TaskRow]:
    """The rows of methods, whose documents got these results, by length."""
    lengths = tuple(results)
    documents = dict.fromkeys(lengths, (None,) * count)
    plan = SurveyPlan("m", "float32", "0", 64, methods, ("retrieval",), (), lengths, documents, claim)

    def record(probe: Probe) -> Mapping[str, Any] | None:
        known = isinstance(probe, TaskProbe) and not probe.control
        return {"result": results[probe.length]} if known else None

    return summarize(plan, record, replace(SETTING, lengths=lengths)).tasks


def asked(*choices: int) -> dict[str, Any]:
    """A result with questions of so many choices each."""
    questions = [{"depth": 0.5, "right": True, "scores": [0.0] * count} for count in choices]
    return {"score": 1.0, "questions": questions}


def test_where_nothing_is_right_there_is_no_effective_length_to_look_for() -> None:
    (row,) = rows({64: {"score": 0.0}, 128: {"score": 0.0}})
    assert row.sentence == "no right answer at any length: how far it reads does not show in this task"
    (row,) = rows({64: {"score": 0.0}, 128: {"score": 0.5}})
    assert row.sentence.startswith("at least 85% of the short score at no tested length")


def test_a_share_of_the_only_score_says_nothing_and_is_not_said() -> None:
    """A threshold says something of one length, and so does a share of another method's score."""
    plain, method = rows({64: {"score": 0.5}}, methods=("plain", "yarn"))
    assert plain.sentence == "the short score; give a second --length to see how far it reads, or --threshold"
    assert plain.certificate is None
    assert method.sentence.startswith("at least 85% of the short score")
    (plain,) = rows({64: {"score": 0.5}}, Threshold(0.4))
    assert plain.sentence.startswith("at least a score of 40%")


def test_a_short_score_that_failed_is_said_instead_of_how_many_more_would_decide() -> None:
    plan = SurveyPlan(
        "m", "float32", "0", 64, ("plain", "yarn"), ("retrieval",), (), (64, 128),
        dict.fromkeys((64, 128), (None,) * 9), NOLIMA,
    )  # fmt: skip
    why = "the plain model failed at the shortest length: NaN"

    def sentence(failing: int) -> str:
        def record(probe: Probe) -> Mapping[str, Any] | None:
            if not isinstance(probe, TaskProbe) or probe.control or probe.index > failing:
                return None
            failed = (probe.method, probe.length, probe.index) == ("plain", 64, failing)
            return {"result": None, "failed": "NaN"} if failed else {"result": {"score": 1.0}}

        return summarize(plan, record, SETTING).tasks[1].sentence

    assert sentence(0) == f"nothing to compare with: {why}"
    assert sentence(2).endswith(f"; open at 64, and no more is asked: {why}")
    assert "would decide" in sentence(9)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_two_documents_that_agree_leave_doubt(score: float) -> None:
    """Wilson's interval of 0 or 2 in 2, by hand: its far end is z² / (2 + z²) away, and scores have no other side."""
    (row,) = rows({64: {"score": 1.0}, 128: {"score": score}})
    found = row.scores[128]
    assert found.high - found.low == pytest.approx(1.96**2 / (2 + 1.96**2), abs=1e-4)
    assert 0 <= found.low <= score <= found.high <= 1


@pytest.mark.parametrize(("score", "proves"), [(0.25, False), (1.0, True)])
def test_a_certificate_that_a_guesser_gets_is_called_one(score: float, proves: bool) -> None:
    (row,) = rows({64: {**asked(4), "score": score}, 128: {**asked(4), "score": score}}, count=120)
    assert row.certificate is not None
    assert row.certificate.length == 128
    assert row.beyond_guessing is proves
    assert row.json()["beyond_guessing"] is proves
    assert ("not surely more than guessing scores, 0.25, so that it proves nothing" in row.sentence) == (not proves)


def test_of_answers_in_writing_guessing_is_not_mentioned() -> None:
    (row,) = rows({64: {"score": 0.25}, 128: {"score": 0.25}}, count=120)
    assert row.beyond_guessing is None
    assert row.sentence == "at least 85% of the short score up to 128 tokens, at 95%"


@pytest.mark.parametrize(
    ("short", "long", "guessing"),
    [(asked(4), asked(4), 0.25), (asked(2, 4), asked(4), 1 / 3), ({"score": 1.0}, {"score": 1.0}, None)],
)
def test_guessing_is_right_once_in_as_many_choices(short: dict, long: dict, guessing: float | None) -> None:
    """A mean over questions; an answer in writing is not guessed."""
    (row,) = rows({64: short, 128: long})
    assert row.guessing == (None if guessing is None else pytest.approx(guessing))
    assert row.json()["guessing"] == row.guessing
