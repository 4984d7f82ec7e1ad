"""What every task in the folder promises."""

import pytest

from longspan.prompts.sequence import SequenceTask
from longspan.prompts.task import PromptTask
from longspan.task import Material, Question, Task, tasks
from prompting import tasks_of
from tiny import bytes_tokenizer, prose, words_tokenizer

TEXT = prose(3000)
MATERIALS = [
    Material(tokenizer, tuple(tokenizer(TEXT)["input_ids"]), opening)
    for tokenizer, opening in ((words_tokenizer(), ()), (bytes_tokenizer(), ()), (words_tokenizer(), (1,)))
]
LENGTHS = (600, 601, 1500)


IN_WRITING = {*tasks_of(PromptTask), *tasks_of(SequenceTask), "niah_depths"}
"""Tasks of other kinds, whose tests are in test_prompt_tasks.py and in files of their own."""


@pytest.fixture(params=sorted(tasks().keys() - IN_WRITING))
def task(request: pytest.FixtureRequest) -> Task:
    """Each task of questions with choices, with the settings it has by default."""
    return tasks()[request.param]()


def test_there_are_tasks_and_they_have_the_names_of_their_files() -> None:
    assert "retrieval" in tasks()
    assert {name: made().name for name, made in tasks().items()} == {name: name for name in tasks()}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("material", MATERIALS, ids=["words", "bytes", "with an opening"])
def test_an_example_has_exactly_the_wanted_length(task: Task, material: Material, length: int) -> None:
    for index in ("0", "1/abc"):
        assert task.example(material, length, index).length == length


def test_task_length_and_index_decide_and_nothing_else(task: Task) -> None:
    first = task.example(MATERIALS[0], 600, "0")
    task.example(MATERIALS[0], 1500, "7")  # leaves no trace
    assert task.example(MATERIALS[0], 600, "0") == first
    assert task.example(MATERIALS[0], 600, "1") != first
    assert task.example(MATERIALS[0], 601, "0") != first
    assert task.generator(600, "0").random() == task.generator(600, "0").random()
    assert task.generator(600, "0").random() != task.generator(601, "0").random()


def test_random_numbers_are_those_of_stored_results() -> None:
    """Results that users have measured name their facts by this seed."""
    assert tasks()["retrieval"]().generator(256, "0/abc").random() == 0.881371356318372


def test_a_question_is_right_when_its_answer_scores_highest_and_unknown_with_a_nan() -> None:
    question = Question((1,), ((2,), (3,)), answer=1, depth=0.5, distance=3)
    assert question.right([-2.0, -1.0]) is True
    assert question.right([-1.0, -2.0]) is False
    assert question.right([-1.0, float("nan")]) is None
