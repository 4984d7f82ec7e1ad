"""The verdict's words say what the numbers say, and hide no loss."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.measure.statistics.interval import Estimate
from longspan.report.words import criteria, grounds, headline, nats, percent, verdict
from longspan.study.summary import Summary
from report.summaries import estimate, judged, nothing, row, shown, summary

SURE = {"advice": "method", "obstacle": None, "chosen_by": None, "ties": [], "undecided": [], "exportable": None}


def contrast(loss: Any = 0.0, facts: Any = 0.0, short: Any = 0.0, speed: float = 1.0) -> dict[str, Any]:
    """A comparison; a number is the middle of an interval of ± 0.02."""
    own = {"loss": loss, "facts": facts, "short": short}
    found = {name: estimate(value) if isinstance(value, float) else value for name, value in own.items()}
    return {**found, "cost": estimate(found["loss"]["value"] - found["facts"]["value"]), "speed": estimate(speed)}


def compared(method: str = "rerope(window=256)", **against: Any) -> dict[str, Any]:
    return judged(method, 3.0, 0.91, 0.0) | {"against": against}


def read_by(documents: int, row: dict[str, Any]) -> dict[str, Any]:
    """A row of so many documents."""
    return row | {"loss": {context: {**found, "documents": documents} for context, found in row["loss"].items()}}


def new(*rows: dict[str, Any], winner: str | None = "rerope(window=256)", **verdict: Any) -> dict[str, Any]:
    """A summary as it is written now."""
    plain = row("plain", 5.0, 0.1, against={"truncation": contrast(2.0, -0.15)})
    methods = [row("truncation", 3.0, 0.25), plain, *rows]
    return summary(winner=winner, methods=methods, verdict={**SURE, **verdict}, tied=[])


def test_what_is_gained_and_what_is_paid() -> None:
    """Facts for fluency, the usual bargain, against both baselines."""
    found = new(compared(truncation=contrast(0.14, 0.66, speed=0.2), plain=contrast(-1.86, 0.81, 0.03, speed=0.8)))
    assert shown(verdict, found).splitlines() == [
        "Use rerope(window=256) to read 4096 tokens. It finds 91 % of the far facts instead of 25 %; it pays 0.140 "
        "nats per token of fluency and reads 0.80 times as fast as the plain model.",
        "Of facts more than 512 tokens back it finds 91 % [89, 93]: better than truncation, which finds 25 % (+66 "
        "[+64, +68] points); better than the plain model, which finds 10 % (+81 [+79, +83] points).",
        "Loss at 4096 tokens: worse than truncation by 0.140 [0.120, 0.160] nats per token; better than the plain "
        "model by 1.860 [1.840, 1.880] nats per token.",
        "Loss on texts of up to 512 tokens: worse than the plain model by 0.030 [0.010, 0.050] nats per token, more "
        "than the tolerance of 0.02.",
        "Speed: 2,730 tokens/s, slower than truncation (0.20 [0.18, 0.22] times as fast); slower than the plain model "
        "(0.80 [0.78, 0.82] times as fast).",
        "The plain model: Of facts more than 512 tokens back it finds 10 % [8, 12]: worse than truncation, which finds "
        "25 % (−15 [−17, −13] points). Loss at 4096 tokens: worse than truncation by 2.000 [1.980, 2.020] nats per "
        "token.",
        "Loss is that of the last 128 of 4096 tokens, and truncation reads only the last 512. Guessing finds 25 % of "
        "the facts. Cost is loss minus the share of facts found. 8 documents; 95 % intervals over documents in "
        "brackets.",
    ]


@pytest.mark.parametrize("shares", [[0.95, 0.45], None])
def test_a_share_of_other_documents_is_not_compared(shares: list[float] | None) -> None:
    """The plain model has read three documents; that the method finds 37 % of eight is no reason for "better"."""
    against = contrast(facts=0.5) | {"shares": shares}
    found = new(compared(truncation=contrast(facts=0.66), plain=against))
    found["methods"][1] = read_by(3, found["methods"][1])
    said = Summary.of(found)
    method = said.row("rerope(window=256)")
    assert method is not None
    assert Summary.of(said.json()) == said
    there = ", 95 % against 45 %" if shares else ""
    assert criteria(said, method)[0] == (
        "Of facts more than 512 tokens back it finds 91 % [89, 93]: better than truncation, which finds 25 % (+66 "
        f"[+64, +68] points); better than the plain model on the 3 documents that both have read{there} (+50 [+48, "
        "+52] points)."
    )


ENDS = st.tuples(*[st.floats(-9, 9, allow_subnormal=False)] * 3).map(sorted)
ESTIMATES = ENDS.map(lambda ends: {"low": ends[0], "value": ends[1], "high": ends[2], "documents": 8}) | st.floats(
    -9, 9
).map(lambda value: {"low": None, "value": value, "high": None, "documents": 1})


def sign(estimate: dict[str, Any]) -> int:
    """1 or −1 where the interval excludes 0."""
    if estimate["low"] is None or estimate["low"] <= 0 <= estimate["high"]:
        return 0
    return 1 if estimate["low"] > 0 else -1


@given(ESTIMATES, ESTIMATES, ESTIMATES)
def test_every_criterion_is_said_as_its_interval_says_and_no_loss_is_hidden(
    loss: dict[str, Any], facts: dict[str, Any], short: dict[str, Any]
) -> None:
    outcomes = {1: "worse than truncation", -1: "better than truncation", 0: "the same within chance as truncation"}
    found = new(compared(truncation=contrast(loss, facts, short)))
    said = Summary.of(found)
    method = said.row("rerope(window=256)")
    assert method is not None
    of_facts, of_loss, _of_short, _of_speed = criteria(said, method)
    assert outcomes[-sign(facts)] in of_facts
    if max(9 if loss[end] is None else abs(loss[end]) for end in ("low", "high")) >= 0.0005:
        assert outcomes[sign(loss)] in of_loss
    if found := re.search(r"by (\S+) \[(\S+), (\S+)\]", of_loss):
        value, low, high = map(float, found.groups())
        assert 0 <= low <= value <= high
    first = headline(said)
    assert (re.search(r"pays \S+ nats per token of fluency", first) is not None) == (sign(loss) > 0)
    assert ("finds only" in first) == (sign(facts) < 0)
    assert ("on short texts" in first) == (sign(short) != 0)


def test_a_plain_model_that_reads_on_is_left_as_it_is() -> None:
    found = new(compared(truncation=contrast(0.0)), winner=None, advice="plain")
    assert shown(headline, found) == "This model reads 4096 tokens already: leave it as it is."


def test_within_the_trained_length_there_is_no_truncation() -> None:
    method = {name: value for name, value in compared(plain=contrast(-0.1)).items() if name != "price"}
    found = new(method, winner=None, advice="plain")
    found["setting"]["trained_length"] = 8192
    del found["methods"][0], found["methods"][0]["against"]
    assert shown(headline, found) == (
        "Nothing beats the plain model within its trained length of 8192 tokens: leave it as it is."
    )
    assert "truncation" not in shown(verdict, found)
    found |= {"winner": "rerope(window=256)", "verdict": SURE}
    assert shown(headline, found).endswith("It gains 0.100 nats per token of fluency.")


@pytest.mark.parametrize(
    ("chosen_by", "words"),
    [
        ("simplicity", "; the simplest of those about as good is taken."),
        ("exportable", "; it is taken because stock runtimes express it."),
        ("cost", "; it has the lowest cost of them."),
        ("proof", "; it has the lowest cost of those that surely are better than no method."),
    ],
)
def test_ties_are_named_with_their_differences(chosen_by: str, words: str) -> None:
    ties = [
        {"method": "yarn", "difference": estimate(0.01), "judged": True},
        {"method": "string", "difference": estimate(0.015), "judged": True},
        {"method": "ntk", "difference": {**estimate(0.3), "low": None, "high": None, "documents": 1}, "judged": False},
    ]
    said = shown(grounds, new(compared(truncation=contrast(-0.1)), ties=ties, chosen_by=chosen_by))
    assert (
        "yarn (cost +0.010 [−0.010, +0.030] nats) and string (cost +0.015 [−0.005, +0.035] nats) cannot be told apart "
        f"from it{words}"
    ) in said
    assert (
        "Not decided, because the budget ended the race before they were sure: ntk (cost +0.300 nats on one document)."
    ) in said


@pytest.mark.parametrize(
    ("documents", "why"),
    [
        (3, "is better than it on 3 documents, too few to judge."),
        (8, "is better than it, but not surely better than no"),
    ],
)
def test_a_tie_that_is_surely_better_is_not_said_to_be_the_same(documents: int, why: str) -> None:
    ties = [
        {"method": "ntk", "difference": {**estimate(-0.5), "documents": documents}, "judged": True},
        {"method": "yarn", "difference": estimate(0.01), "judged": True},
    ]
    ntk = read_by(documents, compared("ntk", truncation=contrast(-0.6)))
    said = shown(grounds, new(compared(truncation=contrast(-0.1)), ntk, ties=ties, chosen_by="proof"))
    assert any(line.startswith(f"ntk (cost −0.500 [−0.520, −0.480] nats) {why}") for line in said)
    assert any(line.startswith("yarn (cost +0.010 [−0.010, +0.030] nats) cannot be told apart") for line in said)


def test_what_nothing_was_read_with_is_named() -> None:
    said = shown(grounds, new(compared(truncation=contrast(-0.1)), undecided=["ntk", "dual_chunk", "yarn"]))
    assert "Not decided, because the budget left no time to read a text with them: ntk, dual_chunk and yarn." in said


def test_what_read_a_shorter_text_only_is_named() -> None:
    found = new(compared(truncation=contrast(-0.1)), undecided=["ntk", "dual_chunk"])
    found["race"]["entry_length"] = 1024
    said = shown(grounds, found)
    assert "Set aside after one text of 1024 tokens, because the budget let only some race: ntk and dual_chunk." in said


def test_the_best_for_stock_runtimes_stands_beside_the_winner() -> None:
    stock = compared("yarn(factor=8.0)", truncation=contrast(0.3))
    said = shown(verdict, new(compared(truncation=contrast(-0.1)), stock, exportable="yarn(factor=8.0)"))
    assert "The best judged method that stock runtimes express is yarn(factor=8.0). Of facts" in said
    assert "worse than truncation by 0.300" in said
    own = new(compared(truncation=contrast(-0.1)), exportable="rerope(window=256)")
    assert "stock runtimes" not in shown(verdict, own)


def test_warnings_come_before_everything_but_the_headline() -> None:
    found = new(compared(truncation=contrast(0.0)), winner=None, advice="none", obstacle="all 8 documents are one file")
    found["warnings"] = ["All 8 documents are parts of one file."]
    lines = shown(verdict, found).splitlines()
    assert lines[:2] == ["No full verdict: all 8 documents are one file.", "All 8 documents are parts of one file."]
    assert lines[2].startswith("rerope(window=256): Of facts")


def test_names_that_the_user_gave_are_kept() -> None:
    found = new(compared(truncation=contrast(-0.1)))
    found["names"] = {"rerope(window=256)": "rerope", "yarn(factor=8.0)": "yarn"}
    said = shown(verdict, found).splitlines()
    assert said[0].startswith("Use rerope to read 4096 tokens.")
    assert "rerope is rerope(window=256) here." in said
    assert not any("yarn" in line for line in said)


def test_a_model_that_is_written_against_the_advice_is_explained() -> None:
    found = nothing() | {"model": "/somewhere", "written": "dual_chunk"}
    assert (
        "A model with dual_chunk was written all the same, because methods were named; it has the lowest cost of them."
    ) in shown(grounds, found)
    assert "all the same" not in shown(verdict, summary() | {"written": "rerope(window=256)"})


def test_older_summaries_are_put_into_words() -> None:
    lines = shown(verdict, summary(tied=["yarn(factor=8.0)"])).splitlines()
    assert lines[0] == (
        "Use rerope(window=256) to read 4096 tokens. It gains 0.100 nats per token of fluency and finds 80 % of the "
        "far facts instead of 25 %."
    )
    assert "yarn(factor=8.0) cannot be told apart from it in loss." in lines
    assert lines[-2] == (
        "The plain model: Of facts more than 512 tokens back it finds 10 % [8, 12]. Loss at 4096 tokens: worse than "
        "truncation by 2.000 [1.980, 2.020] nats per token."
    )


def test_where_nothing_beats_truncation_each_method_is_accounted_for() -> None:
    assert shown(headline, nothing()) == "Nothing beats truncation here: keep the last 512 tokens."
    assert shown(grounds, nothing())[0] == (
        "dual_chunk: Of facts more than 512 tokens back it finds 25 % [23, 27]: the same within chance as truncation, "
        "which finds 25 % (+0 [−2, +2] points). Loss at 4096 tokens: the same within chance as truncation (−0.010 "
        "[−0.030, +0.010] nats per token). Loss on texts of up to 512 tokens: the same within chance as the plain "
        "model (+0.000 [−0.001, +0.001] nats per token)."
    )


def test_a_method_that_costs_too_much_on_short_texts_is_no_defeat_by_truncation() -> None:
    found = nothing()
    found["methods"].append(judged("yarn(factor=8.0)", 2.8, 0.4, 0.1))
    assert shown(headline, found) == "Nothing is worth its cost on short texts here: keep the last 512 tokens."
    expensive = compared(truncation=contrast(-0.3, short=0.1), plain=contrast(-0.3, short=0.1)) | {"affordable": False}
    assert shown(headline, new(expensive, winner=None, advice="truncation")) == shown(headline, found)


def test_what_beats_truncation_is_not_denied() -> None:
    """It is not taken because it read few documents, or because a plain model that varies more may be as good."""
    few = read_by(3, compared(truncation=contrast(-0.3), plain=contrast(-0.3)))
    assert shown(headline, new(few, winner=None, advice="truncation")) == (
        "Nothing that was judged on all 8 documents beats truncation: keep the last 512 tokens."
    )
    whole = compared(truncation=contrast(-0.3), plain=contrast(0.0))
    assert shown(headline, new(whole, winner=None, advice="truncation")) == (
        "Nothing that beats truncation is surely better than the plain model too: keep the last 512 tokens."
    )
    dear = compared(truncation=contrast(-0.3, short=0.1), plain=contrast(0.0, short=0.1)) | {"affordable": False}
    assert shown(headline, new(dear, winner=None, advice="truncation")) == (
        "Nothing is worth its cost on short texts here: keep the last 512 tokens."
    )


def test_what_costs_nothing_is_that_of_the_plain_model() -> None:
    found = summary()
    found["methods"][2]["price"] = {"value": 0.0, "low": 0.0, "high": 0.0, "documents": 8}
    assert "Loss on texts of up to 512 tokens: that of the plain model." in shown(grounds, found)


def test_few_documents_give_no_verdict() -> None:
    found = summary(winner=None, judged=False)
    found["setting"]["documents"] = ["one.txt"]
    assert shown(headline, found) == "No full verdict: 1 document was judged, at least 8 are needed."
    found["setting"]["documents"] *= 7
    assert shown(headline, found) == "No full verdict: 7 documents were judged, at least 8 are needed."


@pytest.mark.parametrize(
    ("leading", "words"),
    [
        ("rerope(window=256)", "So far rerope(window=256) is ahead, which may be chance."),
        ("truncation", "So far nothing is ahead of truncation."),
        ("plain", "So far nothing is ahead of the plain model."),
    ],
)
def test_what_is_ahead_is_said_where_there_is_no_verdict(leading: str, words: str) -> None:
    verdict = {"advice": "none", "obstacle": "1 document was judged, at least 8 are needed", "leading": leading}
    found = new(compared(truncation=contrast(-0.3), plain=contrast(-0.3)), winner=None, **verdict)
    assert shown(headline, found) == f"No full verdict: 1 document was judged, at least 8 are needed. {words}"


def test_one_document_has_no_interval() -> None:
    alone = Estimate.of({"value": 0.5, "low": None, "high": None, "documents": 1})
    assert nats(alone) == "+0.500 [∞, ∞]"
    assert percent(alone) == "50 % [∞, ∞]"
