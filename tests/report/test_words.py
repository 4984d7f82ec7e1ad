"""The verdict's words say what the numbers say."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longspan.measure.interval import Estimate
from longspan.report.words import grounds, headline, nats, percent, verdict
from report.summaries import judged, nothing, row, shown, summary


def test_what_is_gained_and_what_is_paid() -> None:
    """Facts for fluency, the usual bargain."""
    found = summary(methods=[*summary()["methods"][:2], judged("rerope(window=256)", 3.14, 0.91, 0.0)])
    assert shown(verdict, found).splitlines() == [
        "Use rerope(window=256) to read 4096 tokens.",
        "It finds 91 % [89, 93] of the facts that lie more than 512 tokens back, truncation 25 % [23, 27].",
        "It costs 0.140 [0.120, 0.160] nats per token of fluency.",
        "On texts of up to 512 tokens it shows no sure cost (+0.000 [−0.001, +0.001] nats per token).",
        "The plain model finds 10 % [8, 12] of the facts beyond 512 tokens and costs 2.000 [1.980, 2.020] nats per "
        "token of fluency.",
        "Fluency is the loss on the last 128 of 4096 tokens, against truncation, which reads only the last 512. "
        "Guessing finds 25 % of the facts. 8 documents; 95 % intervals over documents in brackets.",
    ]


def test_a_tie_is_named() -> None:
    assert "yarn(factor=8.0)" not in shown(verdict, summary())
    line = (
        "yarn(factor=8.0) is as fluent within chance (loss +0.200 [+0.180, +0.220] nats per token against truncation) "
        "and finds 40 % [38, 42] of those facts."
    )
    assert line in shown(grounds, summary(tied=["yarn(factor=8.0)"]))


def test_where_nothing_beats_truncation_each_method_is_accounted_for() -> None:
    assert shown(headline, nothing()) == "Nothing beats truncation here: keep the last 512 tokens."
    assert shown(grounds, nothing())[0] == (
        "dual_chunk finds 25 % [23, 27] of the facts that lie more than 512 tokens back, truncation 25 % [23, 27] (no "
        "sure difference); it shows no sure difference in fluency (loss −0.010 [−0.030, +0.010] nats per token against "
        "truncation); on texts of up to 512 tokens it shows no sure cost (+0.000 [−0.001, +0.001] nats per token)."
    )


def test_a_method_that_costs_too_much_on_short_texts_is_no_defeat_by_truncation() -> None:
    found = nothing()
    found["methods"].append(judged("yarn(factor=8.0)", 2.8, 0.4, 0.1))
    assert shown(headline, found) == "Nothing is worth its cost on short texts here: keep the last 512 tokens."
    assert "it costs 0.100 [0.099, 0.101] nats per token, more than the tolerance of 0.02." in shown(grounds, found)[1]


def test_what_costs_nothing_is_said_to_cost_nothing() -> None:
    found = summary()
    found["methods"][2]["price"] = {"value": 0.0, "low": 0.0, "high": 0.0, "documents": 8}
    assert "On texts of up to 512 tokens it costs nothing." in shown(grounds, found)


ENDS = st.tuples(*[st.floats(-9, 9, allow_subnormal=False)] * 3).map(sorted)
ESTIMATES = ENDS.map(lambda ends: {"low": ends[0], "value": ends[1], "high": ends[2], "documents": 8}) | st.floats(
    -9, 9
).map(lambda value: {"low": None, "value": value, "high": None, "documents": 1})


def sure(estimate: dict[str, Any]) -> str | None:
    """The verb for a loss whose interval excludes 0."""
    if estimate["low"] is None or estimate["low"] <= 0 <= estimate["high"]:
        return None
    return "costs" if estimate["low"] > 0 else "gains"


@given(ESTIMATES, ESTIMATES, ESTIMATES, st.booleans())
def test_costs_and_gains_are_what_their_intervals_say(
    gain: dict[str, Any], price: dict[str, Any], retrieval: dict[str, Any], wins: bool
) -> None:
    """A cost is a loss surely above, a gain one surely below; their sizes have no sign and lie in their intervals."""
    method = judged("yarn", 3.0, 0.4, 0.0) | {"gain": gain, "price": price, "retrieval_gain": retrieval}
    rows = [row("truncation", 3.0, 0.25), row("plain", 3.0, 0.25), method]
    said = " ".join(shown(grounds, summary(winner="yarn" if wins else None, methods=rows))[: 3 if wins else 1])
    fluency = re.search(r"(costs|gains) (\S+) \[(\S+), (\S+)\] nats per token of fluency", said)
    assert (fluency and fluency[1]) == sure(gain)
    if fluency:
        value, low, high = map(float, fluency.groups()[1:])
        assert 0 <= low <= value <= high
    else:
        assert f"shows no sure difference in fluency (loss {nats(Estimate.of(gain))}" in said
    assert ("truncation 25 % [23, 27] (no sure difference)" in said) == (sure(retrieval) is None)
    short = said.lower().partition("on texts of up to 512 tokens ")[2]
    nothing = price["low"] is not None and max(-price["low"], price["high"]) < 0.0005
    assert short.startswith("it costs nothing" if nothing else f"it {sure(price) or 'shows no sure cost'} ")


def test_few_documents_give_no_verdict() -> None:
    found = summary(winner=None, judged=False)
    found["setting"]["documents"] = ["one.txt"]
    assert shown(headline, found) == "No verdict: 1 document was judged, at least 8 are needed."
    found["setting"]["documents"] *= 7
    assert shown(headline, found) == "No verdict: 7 documents were judged, at least 8 are needed."


def test_one_document_has_no_interval() -> None:
    alone = Estimate.of({"value": 0.5, "low": None, "high": None, "documents": 1})
    assert nats(alone) == "+0.500 [∞, ∞]"
    assert percent(alone) == "50 % [∞, ∞]"
