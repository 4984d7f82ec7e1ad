from collections import Counter

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.fwe import FrequentWords
from prompting import between, example, examples


def counted(text: str) -> list[tuple[str, int]]:
    """The coded words from the most frequent on, without dots."""
    words = between(text, "most frequently appeared coded words. ", "\nQuestion").split()
    return Counter(word for word in words if word.strip(".")).most_common()


@settings(max_examples=10)
@given(examples(FrequentWords()))
def test_the_answers_are_the_most_frequent_words(example: PromptExample) -> None:
    found = counted(example.prompt.text)
    assert {word for word, _ in found[:3]} == set(example.draft.answers)
    assert found[2][1] > found[3][1]
    assert all(len(word) == 6 for word, _ in found)


def test_frequencies_fall_with_the_square_of_the_rank() -> None:
    """n / (k² · 1.6449): so rank 2 has four times as many as rank 4, up to rounding down."""
    times = [count for _, count in counted(example(FrequentWords(), 8000).prompt.text)]
    assert abs(times[0] - 4 * times[2]) < 4
    assert abs(times[0] * 4 / 9 - times[1]) < 2


def test_dots_are_most_frequent() -> None:
    text = example(FrequentWords(), 4096).prompt.text
    assert text.count(" ...") > 2 * counted(text)[0][1]
