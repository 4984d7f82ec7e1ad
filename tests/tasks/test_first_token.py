from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.first_token import FirstToken
from prompting import between, example, examples


def solve(text: str) -> str:
    listed = between(text, "Letters: ", "\nAnswer").split()
    return listed[0]


@settings(max_examples=10)
@given(examples(FirstToken(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1


def test_the_end_of_the_list_does_not_say_it() -> None:
    assert len({example(FirstToken(), 300, index).draft.answers for index in range(60)}) > 15
