"""Rows of a task: padding changes nothing, and a row that is right throughout is one that a model writes by itself."""

from collections import Counter
from string import ascii_lowercase
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.pretrained.attach import design
from longspan.task import task_of
from longspan.train.data.choosing import chance, commonest, task_rows_of, tokenizer_of
from longspan.train.data.tasks.answers import FilledIn, Written
from longspan.train.data.tasks.examples import Answered, Examples
from longspan.train.data.tasks.self_pretraining import Inputs, Stages
from longspan.train.data.tokenizers import symbol_tokenizer
from longspan.train.exams.exam import Exam
from longspan.train.exams.task_answers import TaskAnswers
from longspan.train.forward import hidden_states
from longspan.train.settings import settings_of
from tiny import llama

TOKENIZER = symbol_tokenizer([f"Write the list of letters backwards.\nLetters: {' '.join(ascii_lowercase)}\nAnswer:"])
VOCABULARY = len(TOKENIZER)
EXAMPLES = Examples(task_of("reverse"), TOKENIZER)  # type: ignore[arg-type]
WRITTEN = Written(EXAMPLES, 64, 1, 5, 0)
FILLED = FilledIn(EXAMPLES, 64, 1, 5, 0, mask=1)

ANSWERED = st.builds(
    Answered,
    st.lists(st.integers(3, VOCABULARY - 1), min_size=1, max_size=9).map(tuple),
    st.lists(st.integers(3, VOCABULARY - 1), min_size=1, max_size=6).map(tuple),
)


def decoded(ids: torch.Tensor) -> str:
    return str(TOKENIZER.decode(ids))


@pytest.fixture(scope="module", params=["rope", "rope + bidirectional"])
def model(request) -> Any:
    return design(llama(VOCABULARY), request.param)


@given(examples=st.lists(ANSWERED, min_size=1, max_size=4))
def test_rows_that_are_filled_up_are_read_as_if_each_were_alone(model, examples: list[Answered]) -> None:
    both = "bidirectional" in str(model.longspan_attachment.plan).lower()
    answers = FILLED if both else WRITTEN
    with torch.no_grad():
        batch = answers.rows(examples)
        together = hidden_states(model, batch)[batch.asked]
        alone = [answers.rows([each]) for each in examples]
        apart = torch.cat([hidden_states(model, one)[one.asked] for one in alone])
    assert torch.allclose(together, apart, atol=2e-4)
    assert batch.targets[batch.asked].tolist() == [i for one in alone for i in one.targets[one.asked].tolist()]


@given(prompt=st.lists(st.integers(3, VOCABULARY - 1), min_size=1, max_size=9))
def test_a_model_has_the_whole_answer_right_where_it_writes_it_and_only_there(prompt: list[int]) -> None:
    stock: Any = llama(VOCABULARY)
    wrote = stock.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0)[0, len(prompt) :]
    ended = 0 in wrote.tolist()
    own = wrote.tolist()[: wrote.tolist().index(0)] if ended else wrote.tolist()
    if not own:
        return

    def exact(answer: list[int]) -> bool:
        batch = WRITTEN.rows([Answered(tuple(prompt), tuple(answer))])
        with torch.no_grad():
            logits = stock(batch.inputs).logits[batch.asked]
        right = logits.argmax(-1) == batch.targets[batch.asked]
        return bool(right.all() if ended else right[:-1].all())  # without an end, only what was written can be right

    assert exact(own)
    for place in range(len(own)):
        assert not exact([*own[:place], 3 + (own[place] - 2) % (VOCABULARY - 3), *own[place + 1 :]])


@given(step=st.integers(0, 50))
def test_only_answers_are_asked_for(step: int) -> None:
    for reading in (WRITTEN, FILLED):
        batch = reading.batch(step, 3)
        for inputs, targets, asked in zip(batch.inputs, batch.targets, batch.asked, strict=True):
            text = decoded(inputs[inputs > 1])
            letters = text.partition("Letters:")[2].partition("\n")[0].split()
            assert decoded(targets[asked]).replace("<end>", "").split() == letters[::-1]
            if reading is FILLED:  # nothing of the answer is given
                assert text.endswith("Answer:")
                assert (inputs[asked] == 1).all()


def test_self_pretraining_reads_prompts_first_and_never_an_answer() -> None:
    stages = Stages(Inputs(WRITTEN, None), 3, WRITTEN)
    for step in range(3):
        batch = stages.batch(step, 4)
        whole = decoded(batch.targets[0][batch.asked[0]])
        assert whole.endswith("Answer:")
        assert "Letters:" in whole
    assert torch.equal(stages.batch(3, 4).inputs, WRITTEN.batch(0, 4).inputs)


def test_an_example_that_no_row_holds_is_one_line() -> None:
    with pytest.raises(InputError, match=r"an example of 5 symbols has \d+ tokens and training.length is 10"):
        Written(EXAMPLES, 10, 5, 5, 0).batch(0, 1)


def test_an_exam_asks_examples_that_were_not_trained_on() -> None:
    settings = settings_of({"data": {"task": "reverse", "longest": 5}, "test": {"lengths": [4], "docs": 20}})
    exam: Exam = TaskAnswers(settings, WRITTEN)
    asked = {decoded(exam.question(4, index).batch.inputs[0]) for index in range(20)}
    assert len(asked) == 20
    trained = {decoded(WRITTEN.batch(step, 1).inputs[0]) for step in range(60)}
    assert not {text.partition("Answer:")[0] for text in asked} & {text.partition("Answer:")[0] for text in trained}


@pytest.mark.parametrize(
    ("task", "share"), [("reverse", 0), ("parity", 1 / 2), ("listops", 1 / 10), ("pathfinder", 1 / 2)]
)
def test_chance_is_one_over_the_choices_however_long_the_shortest_example_is(task: str, share: float) -> None:
    assert chance(task) == share


@pytest.mark.parametrize("task", ["reverse", "parity", "listops", "first_token"])
def test_nobody_has_more_right_by_always_giving_the_same_answer(task: str) -> None:
    """Counted anew from the tokens that an exam asks for."""
    tables = {"data": {"task": task, "longest": 9}, "training": {"length": 99}}
    settings = settings_of({**tables, "test": {"lengths": [9], "docs": 30}})
    exam = TaskAnswers(settings, task_rows_of(settings, tokenizer_of(settings), both=False))
    batches = [exam.question(9, index).batch for index in exam.indices(9)]
    answers = Counter(tuple(batch.targets[batch.asked].tolist()) for batch in batches)
    most = answers.most_common(1)[0][1]
    assert commonest(task, 9, 30) == (most / len(batches) if most > 1 else 0)


def test_a_prompt_that_is_drawn_again_is_asked_once() -> None:
    """Four symbols of parity have 16 prompts, of which few belong to the tests; twenty hardly come twice."""
    tables = {"data": {"task": "parity", "longest": 20}, "training": {"length": 99}}
    settings = settings_of({**tables, "test": {"lengths": [4, 20], "docs": 50}})
    exam = TaskAnswers(settings, task_rows_of(settings, tokenizer_of(settings), both=False))
    asked = [decoded(exam.question(4, index).batch.inputs[0]) for index in exam.indices(4)]
    every = {decoded(exam.question(4, index).batch.inputs[0]) for index in range(50)}
    assert len(asked) == len(every) < 8
    assert set(asked) == every
    assert list(exam.indices(20)) == list(range(50))
