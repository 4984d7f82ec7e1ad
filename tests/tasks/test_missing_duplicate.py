from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.missing_duplicate import MissingDuplicate
from prompting import between, example, examples


def solve(text: str) -> str:
    listed = between(text, "Bits: ", "\nAnswer").split()
    gap = listed.index("_")
    half = len(listed) // 2
    assert len(listed) == 2 * half
    return listed[gap - half] if gap >= half else listed[gap + half]


@settings(max_examples=10)
@given(examples(MissingDuplicate(), 400))
def test_the_answer_follows_from_the_list(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    assert example.score(" " + example.draft.answers[0]) == 1


def test_the_gap_may_be_in_either_half() -> None:
    texts = [
        between(example(MissingDuplicate(), 300, index).prompt.text, "Bits: ", "\n").split() for index in range(60)
    ]
    late = sum(2 * text.index("_") >= len(text) for text in texts)
    assert 15 < late < 45
