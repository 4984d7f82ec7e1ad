"""The card on top of the page says what the numbers say."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from longspan.report.card import caveats, confidence, methods_to_run, subject, ties, tiles
from longspan.report.page import page
from longspan.study.summary import Summary
from report.summaries import contrast, decided, nothing, summary


def of(found: dict[str, Any]) -> Summary:
    return Summary.of(found)


def card(found: dict[str, Any]) -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Tiles by their first word: value and comparisons."""
    read = of(found)
    row = subject(read)
    assert row is not None
    return {
        tile.label.split()[0]: (tile.value, [(c.baseline, c.difference, c.outcome) for c in tile.comparisons])
        for tile in tiles(row, read)
    }


def test_each_criterion_is_compared_with_both_baselines() -> None:
    assert card(decided()) == {
        "facts": (
            "80 %",
            [
                ("truncation", "+55 points [+53, +57]", "better"),
                ("the plain model", "+70 points [+68, +72]", "better"),
            ],
        ),
        "loss": (
            "2.900",
            [
                ("truncation", "−0.100 [−0.120, −0.080]", "better"),
                ("the plain model", "−2.100 [−2.120, −2.080]", "better"),
            ],
        ),
        "cost": ("+0.000", [("the plain model", "+0.000 [−0.001, +0.001]", "the same")]),
        "tokens": (
            "2,731",
            [("truncation", "× 0.70 [0.68, 0.72]", "worse"), ("the plain model", "× 0.72 [0.70, 0.74]", "worse")],
        ),
    }


def test_short_texts_are_compared_with_the_plain_model_only() -> None:
    found = decided()
    found["methods"][2]["against"] = {"truncation": contrast(0, 0, 0.5), "plain": contrast(0, 0, 0.25)}
    assert card(found)["cost"] == ("+0.250", [("the plain model", "+0.250 [+0.249, +0.251]", "worse")])


def test_an_older_summary_is_compared_with_truncation() -> None:
    found = card(summary())
    assert found["facts"] == ("80 %", [("truncation", "+55 points [+53, +57]", "better")])
    assert found["cost"] == ("+0.000", [("the plain model", "+0.000 [−0.001, +0.001]", "the same")])
    assert found["tokens"] == ("2,731", [])


@given(st.floats(-9, 9), st.floats(0, 3), st.sampled_from(["loss", "facts", "short", "speed"]))
def test_better_and_worse_are_what_the_interval_says(value: float, half: float, criterion: str) -> None:
    """The word follows from the interval and the direction in which a criterion is good, and from nothing else."""
    found = decided()
    against = contrast(0.0, 0.0, 0.0, 1.0)
    against[criterion] = {"value": value, "low": value - half, "high": value + half, "documents": 8}
    found["methods"][2]["against"] = {"truncation": against, "plain": against}
    name = {"short": "cost", "speed": "tokens"}.get(criterion, criterion)
    outcomes = {outcome for _, _, outcome in card(found)[name][1]}
    neutral, sign = (1.0, 1) if criterion == "speed" else (0.0, 1 if criterion == "facts" else -1)
    if value - half <= neutral <= value + half:
        assert outcomes == {"the same"}
    else:
        assert outcomes == {"better" if (value > neutral) == (sign > 0) else "worse"}


def test_the_card_is_about_the_winner_or_what_stays_or_the_best() -> None:
    def about(found: dict[str, Any]) -> str | None:
        row = subject(of(found))
        return row and row.method

    assert about(decided()) == "rerope(window=256)"
    stays = decided(winner=None)
    stays["verdict"] |= {"advice": "plain"}
    assert about(stays) == "plain"
    none = decided(winner=None)
    none["verdict"] |= {"advice": "truncation"}
    assert about(none) == "rerope(window=256)"
    none["methods"][3]["against"]["truncation"] = contrast(-0.2, 0.0, 0.0)  # a lower loss, but not a lower cost
    assert about(none) == "rerope(window=256)"
    none["methods"][3]["against"]["truncation"] = contrast(-5.0, 0.2, 0.0)
    assert about(none) == "yarn(factor=8.0)"
    assert about(nothing()) == "dual_chunk"
    alone = nothing()
    alone["methods"] = alone["methods"][:2]
    assert about(alone) is None


def test_how_sure_it_is() -> None:
    row, read = subject(of(decided())), of(decided())
    assert row is not None
    assert confidence(row, read) == (
        "Its cost, the loss minus the share of facts found, in nats, is surely lower than that of truncation (−0.650 "
        "[−0.670, −0.630]) and surely lower than that of the plain model (−2.800 [−2.820, −2.780]); 95 % intervals "
        "over 8 documents."
    )
    found = decided()
    found["methods"][2]["against"]["plain"] = contrast(0.0, 0.0, 0.0)
    unsure = of(found).row("rerope(window=256)")
    assert unsure is not None
    assert "and not surely different from that of the plain model (+0.000 [−0.020, +0.020])" in confidence(unsure, read)
    older = of(summary())
    first = subject(older)
    assert first is not None
    assert confidence(first, older) == ""


def test_ties_are_named_with_their_differences_and_the_reason_of_the_choice() -> None:
    assert ties(of(decided())) == [
        "dual_chunk: cost +0.005 [−0.015, +0.025] nats.",
        "self_extend: cost +0.010 [−0.010, +0.030] nats, on the documents of the race only.",
        "It is taken because stock runtimes express it.",
    ]
    few = {
        "method": "yarn(factor=8.0)",
        "difference": {"value": -0.5, "low": -0.52, "high": -0.48, "documents": 3},
        "judged": True,
    }
    found = decided(verdict={"ties": [few], "chosen_by": None})
    for loss in found["methods"][3]["loss"].values():
        loss["documents"] = 3
    assert ties(of(found)) == [
        "yarn(factor=8.0): cost −0.500 [−0.520, −0.480] nats: better on 3 documents, too few to judge."
    ]
    assert ties(of(summary(tied=["yarn(factor=8.0)"]))) == ["yarn(factor=8.0)."]
    assert ties(of(summary())) == []


def test_what_to_know_first_stands_first() -> None:
    found = decided()
    found["setting"]["files"] = 3
    for estimate in found["methods"][1]["loss"].values():
        estimate["documents"] = 2
    assert caveats(of(found)) == [
        "Truncation predicts the text worse than guessing does: it may be no text.",
        "The 8 documents are parts of 3 files: intervals may be too narrow.",
        "Not decided, since the budget did not reach them: alibi, ntk(factor=16.0). A larger --budget adds them.",
        "Left out to keep to the budget: the candidates <dual_chunk>.",
        "Read fewer than 8 documents: plain.",
    ]
    entered = {**found, "race": {**found["race"], "entry_length": 1024}}
    assert caveats(of(entered))[2] == (
        "Not decided, since they read one text of 1024 tokens only: alibi, ntk(factor=16.0). A larger --budget adds "
        "them."
    )
    html = page(of(found))
    places = [
        html.index(text) for text in ("<h1>", "it may be no text", "parts of 3 files", "facts found, more", "<h2>")
    ]
    assert places == sorted(places)
    assert "<footer>" in html
    assert "parts of 3 files" not in html.partition("<footer>")[2]
    assert caveats(of(summary(left_out=[]))) == []


def test_what_can_be_run() -> None:
    assert methods_to_run(of(decided())) == ["rerope(window=256)", "yarn(factor=8.0)"]
    same = decided()
    same["verdict"] |= {"exportable": "rerope(window=256)"}
    assert methods_to_run(of(same)) == ["rerope(window=256)"]
    assert methods_to_run(of(nothing())) == []


def test_the_page_shows_the_whole_card() -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", page(of(decided()))).split())
    for words in (
        "against the plain model × 0.72 [0.70, 0.74]: worse",
        "against the plain model +0.000 [−0.001, +0.001]: no sure difference",
        "Its cost, the loss minus the share of facts found, in nats, is surely lower",
        "Not surely worse than it:",
        "dual_chunk: cost +0.005",
    ):
        assert words in text, words
