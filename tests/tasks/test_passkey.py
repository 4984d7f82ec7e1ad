import re

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.passkey import Passkey
from prompting import examples, material


@settings(max_examples=10)
@given(examples(Passkey(), 500))
def test_the_key_is_the_only_number(example: PromptExample) -> None:
    assert set(re.findall(r"\d+", example.prompt.text)) == set(example.draft.answers)
    assert len(example.draft.answers[0]) == 5
    assert example.score(f" {example.draft.answers[0]}. Remember it.") == 1
    assert not re.search(r"\d", example.prompt.without_needles().text)


def test_the_wording_is_that_of_landmark_attention() -> None:
    text = Passkey().example(material("words"), 300, "0").prompt.text
    assert text.startswith(
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them."
    )
    assert text.endswith("What is the pass key? The pass key is")
    assert re.search(r"\nThe pass key is (\d+)\. Remember it\. \1 is the pass key\.\n", text)
