from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.addition import Addition
from prompting import between, example, examples


def solve(text: str, base: int = 10) -> str:
    left, right = between(text, "between them.\n", " =").split("+")
    assert 0 <= len(left.split()) - len(right.split()) <= 1
    total, digits = int(left.replace(" ", ""), base) + int(right.replace(" ", ""), base), ""
    while total:
        total, digit = divmod(total, base)
        digits = f"{digit}{digits}"
    width = max(len(left.split()), len(digits))
    return " ".join(digits.zfill(width))


@settings(max_examples=10)
@given(examples(Addition(), 300))
def test_the_answer_is_the_sum(example: PromptExample) -> None:
    assert example.draft.answers == (solve(example.prompt.text),)
    left, right = between(example.prompt.text, "between them.\n", " =").split(" + ")
    assert left[-20:] != right[-20:]


def test_other_bases() -> None:
    made = example(Addition(base=2), 300)
    assert made.draft.answers == (solve(made.prompt.text, 2),)
    assert set(made.draft.answers[0]) == set("01 ")
