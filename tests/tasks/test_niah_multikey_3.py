import re
import uuid

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.niah_multikey_3 import NiahMultikey3
from prompting import examples
from ruler import NEEDLE, asked_values


@settings(max_examples=10)
@given(examples(NiahMultikey3(), 1500))
def test_the_values_of_the_asked_keys_are_in_the_text(example: PromptExample) -> None:
    assert asked_values(example.prompt.text) == set(example.draft.answers)
    assert len(example.draft.answers) == len(example.depths) == 1
    assert example.score(", ".join(example.draft.answers)) == 1
    needles = re.findall(NEEDLE, example.prompt.text)
    assert len(needles) == len({key for key, _ in needles}) > 4
    assert {uuid.UUID(found).version for pair in needles for found in pair} == {4}


@settings(max_examples=5)
@given(examples(NiahMultikey3(), 1500))
def test_the_wording_is_rulers(example: PromptExample) -> None:
    assert example.prompt.text.startswith(
        "A special magic uuid is hidden within the following text. Make sure to memorize it."
    )
    assert example.prompt.text.endswith("mentioned in the provided text is")
