"""Our rules as lm-evaluation-harness calls them."""

from collections.abc import Sequence

import pytest

from longspan.errors import InputError
from longspan.prompts.scoring import AllOf, AnyOf, Exact, FirstNumber, OnlyOne, Scoring
from longspan.survey.harness.scoring import process_results, read, written

RULES = [
    (AllOf(), "12 and 34", ["12", "56"], 0.5),
    (AnyOf(), "It is 34.", ["12", "34", "56"], 1.0),
    (Exact(), " b c\nd", ["b c"], 1.0),
    (FirstNumber(), "It is 7, not 8.", ["8"], 0.0),
    (OnlyOne(("hall", "garden")), "In the garden. Not the hall.", ["garden"], 1.0),
]


@pytest.mark.parametrize(("rule", "output", "references", "score"), RULES)
def test_a_rule_survives_its_file(rule: Scoring, output: str, references: Sequence[str], score: float) -> None:
    assert read(written(rule)) == rule or type(read(written(rule))) is type(rule)
    assert process_results({"scoring": written(rule), "outputs": references}, [output]) == {"score": score}


def test_every_rule_is_tried() -> None:
    assert {type(rule) for rule, *_ in RULES} == set(Scoring.__subclasses__())


@pytest.mark.parametrize("name", ["Nothing", "InputError", "re"])
def test_an_unknown_rule_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"no rule of scoring '{name}'"):
        read({"rule": name})
