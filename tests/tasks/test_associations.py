import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.prompts.needles import Document, Noise
from longspan.tasks.associations import NEEDLE, QUESTION, SIGHTS, Associations
from prompting import between, example

GRAMMAR = {"a", "and", "of", "the", "has", "with", "in", "which"}
"""Words without content."""


def content(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - GRAMMAR


def solve(text: str) -> list[str]:
    """Look up the question's city or country, and who looks at its sight."""
    asked = between(text, "Which person lives in ", "? Answer")
    (sight,) = [sight for sight, *places in SIGHTS if asked in places]
    return re.findall(rf"(\w+) has a flat with a view of the {sight}\.", text)


@settings(max_examples=30)
@given(
    st.sampled_from([1, 2]),
    st.sampled_from([Noise(), Document()]),
    st.integers(0, 999),
    st.sampled_from(["words", "BPE"]),
)
def test_the_answer_follows_from_the_sight(hops: int, haystack: Noise | Document, index: int, name: str) -> None:
    made = example(Associations(hops, haystack), 1000, index, name)
    assert list(made.draft.answers) == solve(made.prompt.text)
    assert not solve(made.prompt.without_needles().text)
    assert set(made.draft.choices) == set(re.findall(r"(\w+) has a flat", made.prompt.text))
    assert len(made.draft.choices) == 4
    assert made.score(f" {made.draft.answers[0]}.") == 1
    assert made.score(" " + " or ".join(made.draft.choices)) == 0


@pytest.mark.parametrize("sight", SIGHTS, ids=lambda sight: sight[1])
def test_needle_and_question_share_no_content_word(sight: tuple[str, str, str]) -> None:
    needle = content(NEEDLE.format(who="", sight=sight[0]))
    for place in sight[1:]:
        assert not needle & content(QUESTION.format(where=place))


def test_every_city_and_country_has_one_sight() -> None:
    assert len({place for sight in SIGHTS for place in sight}) == 3 * len(SIGHTS)


def test_other_numbers_of_hops_are_refused() -> None:
    with pytest.raises(InputError, match=r"hops must be 1 \(city\) or 2 \(country\), got 3"):
        Associations(3)
