import re

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.niah_multiquery import NiahMultiquery
from prompting import examples
from ruler import NEEDLE, asked_values


@settings(max_examples=10)
@given(examples(NiahMultiquery(), 1200))
def test_the_values_of_the_asked_keys_are_in_the_text(example: PromptExample) -> None:
    assert asked_values(example.prompt.text) == set(example.draft.answers)
    assert len(example.draft.answers) == len(example.depths) == 4
    assert example.score(", ".join(example.draft.answers)) == 1
    assert len({key for key, _ in re.findall(NEEDLE, example.prompt.text)}) == 4
    assert " and ".join(re.findall(r", and ", example.prompt.question)) != ""
    assert example.score(example.draft.answers[0]) == 0.25


@settings(max_examples=5)
@given(examples(NiahMultiquery(), 1200))
def test_the_wording_is_rulers(example: PromptExample) -> None:
    assert example.prompt.text.startswith(
        "Some special magic numbers are hidden within the following text. Make sure to memorize it."
    )
    assert example.prompt.text.endswith("mentioned in the provided text are")
