import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan import bundled
from longspan.errors import InputError
from longspan.prompts.needles import Document
from longspan.tasks.worlds import PLACES, Worlds
from prompting import CHINESE, TEXT, between, example

EVENT = re.compile(
    r"(\w+) (?:(?:went into|walked to|hurried to) the (\w+)|(?:picked up the (\w+))|took the (\w+) along)\."
)


def solve(text: str) -> str | None:
    """Simulate the world: everybody's places, and where each thing was."""
    where: dict[str, str] = {}
    carried: dict[str, str] = {}
    been: dict[str, list[str]] = {}
    for who, place, picked, took in EVENT.findall(text):
        thing = picked or took
        if thing:
            carried[who] = thing
            been[thing] = [where[who]] if who in where else []
        else:
            where[who] = place
            if who in carried:
                been[carried[who]].append(place)
    question = between(text, "Question: ", " Answer with")
    if person := re.fullmatch(r"Where is (\w+) now\?", question):
        return where.get(person[1])
    if thing := re.fullmatch(r"Where is the (\w+) now\?", question):
        return been.get(thing[1], [None])[-1]
    if thing := re.fullmatch(r"Where was the (\w+) before it came to the (\w+)\?", question):
        places = been.get(thing[1], [])
        return places[-2] if places[-1:] == [thing[2]] and len(places) > 1 else None
    raise AssertionError(question)


@settings(max_examples=40)
@given(st.data())
def test_the_answer_follows_from_the_events(data: st.DataObject) -> None:
    facts = data.draw(st.integers(1, 3))
    task = Worlds(
        facts, data.draw(st.integers(max(2, facts), 5)), data.draw(st.sampled_from([Worlds().haystack, Document()]))
    )
    made = example(task, 2000, data.draw(st.integers(0, 999)), data.draw(st.sampled_from(["words", "BPE", "bytes"])))
    assert made.draft.answers == (solve(made.prompt.text),)
    assert len(made.depths) == facts
    assert made.score(f" {made.draft.answers[0]}.") == 1
    assert solve(made.prompt.without_needles().text) != made.draft.answers[0]


def test_all_places_are_answers() -> None:
    answers = {example(Worlds(2), 1000, index, "words").draft.answers[0] for index in range(100)}
    assert answers == set(PLACES)


def test_the_user_text_is_chinese() -> None:
    made = example(Worlds(2, haystack=Document()), 1600, name="bytes", text=CHINESE)
    assert made.draft.answers == (solve(made.prompt.text),)
    assert all(piece.rstrip()[-1] in "。！？”." for piece in made.prompt.context[:-1])


def test_names_are_not_those_of_the_text() -> None:
    person = between(example(Worlds(), 1000, 0, "words").prompt.text, "Where is ", " now")
    assert person
    made = example(Worlds(haystack=Document()), 1500, 0, "words", text=TEXT + f" {person} left.")
    assert person not in made.prompt.text


@pytest.mark.parametrize(
    ("facts", "moves", "words"),
    [
        (0, 3, "facts must be 1 … 3, got 0"),
        (4, 4, "facts must be 1 … 3, got 4"),
        (3, 2, "moves must be 3 … 1000, got 2"),
        (1, 1, "moves must be 2 … 1000, got 1"),
    ],
)
def test_other_settings_are_refused(facts: int, moves: int, words: str) -> None:
    with pytest.raises(InputError, match=f"worlds: {words}"):
        Worlds(facts, moves)


def test_a_text_with_all_names_is_refused() -> None:
    with pytest.raises(InputError, match="the text contains all but 0 of the first names"):
        example(Worlds(haystack=Document()), 1000, text=" ".join(bundled.words().names))
