from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.copy import Copy
from prompting import between, examples


def solve(text: str) -> str:
    listed = between(text, "Letters: ", "\nAnswer").split()
    return " ".join(listed)


@settings(max_examples=10)
@given(examples(Copy(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1
