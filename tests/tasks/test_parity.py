from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.parity import Parity
from prompting import between, example, examples


def solve(text: str) -> str:
    listed = between(text, "List: ", "\nAnswer").split()
    return "odd" if sum(map(int, listed)) & 1 else "even"


@settings(max_examples=10)
@given(examples(Parity(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1


def test_both_answers_are_frequent() -> None:
    answers = [example(Parity(), 300, index).draft.answers[0] for index in range(60)]
    assert 15 < answers.count("odd") < 45
