from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.occurs import Occurs
from prompting import between, example, examples


def solve(text: str) -> str:
    listed = between(text, "Bits: ", "\nAnswer").split()
    return "yes" if "0" in listed[:100] else "no"


@settings(max_examples=10)
@given(examples(Occurs(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1


def test_the_rest_of_the_list_says_nothing() -> None:
    made = [example(Occurs(), 500, index) for index in range(60)]
    answers = [found.draft.answers[0] for found in made]
    assert 15 < answers.count("yes") < 45
    assert all("0" in between(found.prompt.text, "Bits: ", "\nAnswer").split()[100:] for found in made)


def test_how_many_count_is_a_setting() -> None:
    assert "among the first 7 bits" in example(Occurs(first=7), 300, 0).prompt.text
