"""Known cases; those of RULER's scores were computed with its own functions."""

import pytest

from longspan.prompts.scoring import AllOf, AnyOf, Exact, FirstNumber, OnlyOne, Scoring

PLACES = ("garden", "kitchen", "office")


@pytest.mark.parametrize(
    ("scoring", "output", "references", "score"),
    [
        (AllOf(), "12, 34 and 56", ["12", "34", "56"], 1),
        (AllOf(), "12 and 56", ["12", "34", "56", "78"], 0.5),
        (AllOf(), "it is ACROBAT", ["acrobat"], 1),
        (AllOf(), "it is 12345678901", ["2345678"], 1),
        (AllOf(), "", ["12"], 0),
        (AllOf(), "a\x00b", ["a\nb"], 1),
        (AnyOf(), "Paris", ["paris", "the capital", "Lutetia"], 1),
        (AnyOf(), "Rome", ["paris", "the capital", "Lutetia"], 0),
        (Exact(), " a b  c\nmore", ["a b c"], 1),
        (Exact(), "a b c d", ["a b c"], 0),
        (Exact(), "a b", ["a b c"], 0),
        (Exact(), "", ["a"], 0),
        (OnlyOne(PLACES), " Garden. In the office", ["garden"], 1),
        (OnlyOne(PLACES), "garden or office", ["garden"], 0),
        (OnlyOne(PLACES), "gardener", ["garden"], 0),
        (OnlyOne(PLACES), "", ["garden"], 0),
        (OnlyOne(("Clara", "Boris")), "It is Clara", ["Clara"], 1),
        (FirstNumber(), "is 12345. Remember 5", ["12345"], 1),
        (FirstNumber(), "is 123456", ["12345"], 0),
        (FirstNumber(), "is unknown", ["12345"], 0),
    ],
)
def test_known_scores(scoring: Scoring, output: str, references: list[str], score: float) -> None:
    assert scoring.score(output, references) == pytest.approx(score)
