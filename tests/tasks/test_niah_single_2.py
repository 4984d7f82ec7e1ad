from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.niah_single_2 import NiahSingle2
from prompting import TEXT, examples
from ruler import asked_values


@settings(max_examples=10)
@given(examples(NiahSingle2(), 1200))
def test_the_values_of_the_asked_keys_are_in_the_text(example: PromptExample) -> None:
    assert asked_values(example.prompt.text) == set(example.draft.answers)
    assert len(example.draft.answers) == len(example.depths) == 1
    assert example.score(", ".join(example.draft.answers)) == 1
    assert example.prompt.without_needles().text.split("afterwards.\n")[1].startswith(TEXT[:400])
    assert example.prompt.text.count("One of the special magic numbers for") == 1


@settings(max_examples=5)
@given(examples(NiahSingle2(), 1200))
def test_the_wording_is_rulers(example: PromptExample) -> None:
    assert example.prompt.text.startswith(
        "A special magic number is hidden within the following text. Make sure to memorize it."
    )
    assert example.prompt.text.endswith("mentioned in the provided text is")
