import pytest

from longspan.errors import InputError
from longspan.prompts.example import Draft, PromptExample
from longspan.prompts.prompt import Prompt
from longspan.prompts.scoring import AllOf
from longspan.task import Example, Question

DRAFT = Draft(Prompt("Read. ", ("one. ", "needle. "), "?", (1,)), ("needle",), AllOf())
EXAMPLE = PromptExample("task/12/0", DRAFT, tuple(range(9)), 3, (0.5,), (4,))


def test_the_length_has_room_for_the_answer() -> None:
    assert EXAMPLE.length == 12
    assert EXAMPLE.score("the needle") == 1
    assert EXAMPLE.score("nothing") == 0


def test_truncation_keeps_the_end_and_the_opening() -> None:
    assert EXAMPLE.truncated(8) == (4, 5, 6, 7, 8)
    assert EXAMPLE.truncated(8, opening=(99,)) == (99, 5, 6, 7, 8)
    assert EXAMPLE.truncated(4) == (8,)
    assert EXAMPLE.truncated(12) == EXAMPLE.truncated(99) == EXAMPLE.ids
    assert EXAMPLE.truncated(12, opening=(99,)) == EXAMPLE.ids
    with pytest.raises(InputError, match="4 tokens hold no more than the answer: give at least 5"):
        EXAMPLE.truncated(4, opening=(99,))


def test_controls_by_name() -> None:
    assert set(EXAMPLE.controls) == {"question_alone", "without_needles", "shuffled"}
    plain = PromptExample("", Draft(Prompt("", ("a ",), "?"), ("a",)), (1,), 1, (), ())
    assert set(plain.controls) == {"question_alone"}


def test_choices_become_a_question() -> None:
    draft = Draft(DRAFT.prompt, ("no",), AllOf(), ("yes", "no"))
    made = PromptExample("task/12/0", draft, tuple(range(9)), 3, (0.5,), (4,))
    question = made.question(lambda text: tuple(map(ord, text)))
    yes, no = tuple(map(ord, " yes")), tuple(map(ord, " no"))
    assert question == Example(tuple(range(8)), (False,) * 8, (Question((8,), (yes, no), 1, 0.5, 4),))
    with pytest.raises(InputError, match="task/12/0 has no choices to compare"):
        EXAMPLE.question(lambda _: ())


def test_the_digest_depends_on_prompt_and_answers() -> None:
    other = PromptExample("task/12/0", Draft(DRAFT.prompt, ("other",), AllOf()), EXAMPLE.ids, 3, (0.5,), (4,))
    assert EXAMPLE.digest != other.digest
    assert len(EXAMPLE.digest) == 64
