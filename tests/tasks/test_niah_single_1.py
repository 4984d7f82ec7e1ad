from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.niah_single_1 import NiahSingle1
from prompting import examples
from ruler import asked_values


@settings(max_examples=10)
@given(examples(NiahSingle1(), 1200))
def test_the_values_of_the_asked_keys_are_in_the_text(example: PromptExample) -> None:
    assert asked_values(example.prompt.text) == set(example.draft.answers)
    assert len(example.draft.answers) == len(example.depths) == 1
    assert example.score(", ".join(example.draft.answers)) == 1
    lines = example.prompt.text.splitlines()
    assert lines.count("The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.") > 5
    assert example.prompt.text.count("One of the special magic numbers for") == 1


@settings(max_examples=5)
@given(examples(NiahSingle1(), 1200))
def test_the_wording_is_rulers(example: PromptExample) -> None:
    assert example.prompt.text.startswith(
        "A special magic number is hidden within the following text. Make sure to memorize it."
    )
    assert example.prompt.text.endswith("mentioned in the provided text is")
