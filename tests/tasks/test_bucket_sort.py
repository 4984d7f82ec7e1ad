from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.bucket_sort import BucketSort
from prompting import between, examples


def solve(text: str) -> str:
    listed = between(text, "Digits: ", "\nAnswer").split()
    return " ".join(digit for digit in "01234" for _ in range(listed.count(digit)))


@settings(max_examples=10)
@given(examples(BucketSort(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1
