"""Laws that every task in text keeps, for tokenizers of every sort."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.reading.reader import Reader
from longspan.measure.scoring.answers import answers
from longspan.prompts.task import PromptTask
from longspan.tasks.niah_single_2 import NiahSingle2
from longspan.tasks.qa import Qa
from longspan.tasks.qa_2 import Qa2
from prompting import CHINESE, TEXT, TOKENIZERS, example, material, tasks_of
from tiny import llama, prose

FOLDER = Path(__file__).parent
QUESTIONS = {Qa: str(FOLDER / "questions.json"), Qa2: str(FOLDER / "questions_2.json")}
TASKS: dict[str, Any] = {
    name: kind(QUESTIONS[kind]) if kind in QUESTIONS else kind() for name, kind in tasks_of(PromptTask).items()
}
SHORTEST = {"cwe": 2400, "vt": 1100, "pathfinder": 2300, "shapes": 2300}
"""Tokens that suffice for every tokenizer; bytes are the longest."""
FEWEST_WORDS = {"pathfinder": 1100, "shapes": 1100}
"""Tokens of words that suffice, where 400 do not."""
DIGESTS: dict[str, str] = json.loads((Path(__file__).parent / "digests.json").read_text(encoding="utf-8"))


def shortest(name: str) -> int:
    return SHORTEST.get(name, 1000)


def length_or_error(task: PromptTask, name: str, length: int) -> int | str:
    try:
        return task.example(material(name), length, "0").length
    except InputError as error:
        return str(error)


def test_there_are_tasks() -> None:
    """Guards the tests below: an empty list of cases proves nothing."""
    assert len(TASKS) >= 23


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=8)
@given(data=st.data())
def test_prompt_and_room_are_as_long_as_wanted(name: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(shortest(name), shortest(name) * 3 // 2))
    given = material(data.draw(st.sampled_from(TOKENIZERS)))
    made = TASKS[name].example(given, length, str(data.draw(st.integers(0, 999))))
    assert 0.97 * length <= made.length <= length
    assert made.ids == (*given.opening, *given.encode(made.prompt.text))
    assert made.room >= len(given.encode(" " + " ".join(made.draft.answers)))


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=20)
@given(data=st.data())
def test_short_prompts_are_as_long_as_wanted_or_refused_in_one_line(name: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 300))
    found = length_or_error(TASKS[name], data.draw(st.sampled_from(TOKENIZERS)), length)
    if isinstance(found, str):
        assert found.startswith(f"{name}/{length}/0: no example has")
        assert "\n" not in found
    else:
        assert 0.97 * length <= found <= length


@pytest.mark.parametrize("name", TASKS)
def test_an_example_depends_on_task_length_and_index_alone(name: str) -> None:
    length = shortest(name)
    made = example(TASKS[name], length, 3)
    assert example(replace(TASKS[name]), length, 3) == made
    assert example(TASKS[name], length, 4).digest != made.digest
    assert example(TASKS[name], length + 60, 3).digest != made.digest


@pytest.mark.parametrize("name", TASKS)
def test_an_example_is_the_same_everywhere(name: str) -> None:
    """Stored results speak of these examples: a change of a digest is a new task."""
    assert example(TASKS[name], shortest(name), 0, "words").digest == DIGESTS[name]


@pytest.mark.parametrize("name", TASKS)
def test_the_room_is_that_of_the_paper(name: str) -> None:
    """RULER's `tokens_to_generate`; a task of ours has room for a word, or for just its answer."""
    family = name.partition("_")[0] if name.startswith(("niah", "qa")) else name
    room = {
        "niah": 128,
        "vt": 30,
        "cwe": 120,
        "fwe": 50,
        "qa": 32,
        "passkey": 10,
        "worlds": 8,
        "associations": 8,
    }
    made = example(TASKS[name], shortest(name), 0, "words")
    given = material("words")
    answers = (" ".join(made.draft.answers), *made.draft.choices)
    assert made.room == room.get(family, max(len(given.encode(" " + answer)) for answer in answers))


@pytest.mark.parametrize("name", TASKS)
def test_needles_are_where_depths_and_distances_say(name: str) -> None:
    made = example(TASKS[name], shortest(name) + 300, 1)
    encode = material("BPE").encode
    for needle, depth, distance in zip(made.prompt.needles, made.depths, made.distances, strict=True):
        start = made.prompt.text.index(made.prompt.context[needle].strip())
        assert abs(len(encode(made.prompt.text[:start])) - depth * len(made.ids)) <= 2
        assert abs(len(encode(made.prompt.text[start:])) - distance) <= 2


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if example(task, shortest(name)).prompt.needles])
@settings(max_examples=10)
@given(index=st.integers(0, 999))
def test_without_its_needles_a_prompt_holds_no_answer(name: str, index: int) -> None:
    """Where answers are choices they are still in the text, of somebody else: the task's own test sees to that."""
    made = example(TASKS[name], shortest(name), index, "words")
    for control in ("question_alone", "without_needles"):
        text = made.controls[control].text
        if not made.draft.choices:
            assert not any(made.prompt.context[needle].strip() in text for needle in made.prompt.needles)
            assert not any(answer in text for answer in made.draft.answers)


@pytest.mark.parametrize("name", TASKS)
def test_a_right_answer_has_the_full_score_and_none_has_zero(name: str) -> None:
    made = example(TASKS[name], shortest(name), 5, "words")
    assert made.score(", ".join(made.draft.answers)) == 1
    assert made.score("") == 0
    assert not made.draft.choices or set(made.draft.answers) <= set(made.draft.choices)


@pytest.mark.parametrize("name", TASKS)
def test_the_question_alone_is_a_part_of_the_prompt(name: str) -> None:
    made = example(TASKS[name], shortest(name), 6, "words")
    alone = made.controls["question_alone"].text
    assert alone == made.prompt.before + made.prompt.question
    assert len(alone) < len(made.prompt.text)
    assert made.truncated(made.room + 40) == made.ids[-40:]


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if example(task, shortest(name)).draft.choices])
def test_choices_are_measured_by_likelihood(name: str) -> None:
    """By the same code as facts in a text, with and without a cache."""
    given = material("words")
    made = TASKS[name].example(given, FEWEST_WORDS.get(name, 400), "0")
    asked = made.question(given.encode)
    assert asked.length <= made.length
    assert (*asked.ids, *asked.questions[0].ids) == made.ids
    reader = Reader(llama(len(given.tokenizer)))
    cached, fresh = (answers(reader, asked, cache) for cache in (reader.read(reader.ids(asked.ids))[1], None))
    assert cached["questions"][0]["scores"] == pytest.approx(fresh["questions"][0]["scores"], abs=1e-4)
    assert len(fresh["questions"][0]["scores"]) == len(made.draft.choices)


def test_the_user_text_may_be_chinese() -> None:
    made = example(NiahSingle2(), 1500, 0, "bytes", CHINESE)
    plain = made.prompt.without_needles().text.split("afterwards.\n")[1].partition("\nWhat is")[0]
    assert CHINESE.startswith(plain)
    before = made.prompt.context[: made.prompt.needles[0]]
    assert all(piece[-1] in "。！？”" for piece in before)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "hides its needles in a text: give one"), (prose(40), "give more text"), ("No. ", "give more text")],
)
def test_a_text_that_does_not_suffice_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        example(NiahSingle2(), 1500, text=text)


def test_the_text_is_read_from_its_beginning() -> None:
    long = example(NiahSingle2(), 3000, 0, "words")
    assert long.prompt.without_needles().text.split("afterwards.\n")[1].startswith(TEXT[:2000])
