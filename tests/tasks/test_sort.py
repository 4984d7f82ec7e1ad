from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.sort import Sort
from prompting import between, examples


def solve(text: str) -> str:
    listed = between(text, "Numbers: ", "\nAnswer").split()
    numbers = [int(number) for number in listed]
    assert all(10 <= number <= 9999 for number in numbers)
    return " ".join(str(number) for number in sorted(numbers))


@settings(max_examples=10)
@given(examples(Sort(), 800))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1
