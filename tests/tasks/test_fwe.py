from collections import Counter

import pytest
from hypothesis import given, settings

from longspan.errors import InputError
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


def test_frequent_words_are_everywhere() -> None:
    """Before the text is shuffled each word follows itself."""
    made = example(FrequentWords(), 4096)
    words = between(made.prompt.text, "coded words. ", "\nQuestion").split()
    quarters = [words[i * len(words) // 4 : (i + 1) * len(words) // 4] for i in range(4)]
    shares = [sum(word in made.draft.answers for word in quarter) / len(quarter) for quarter in quarters]
    assert max(shares) - min(shares) < 0.25


def test_dots_are_most_frequent() -> None:
    text = example(FrequentWords(), 4096).prompt.text
    assert text.count(" ...") > 2 * counted(text)[0][1]


@pytest.mark.parametrize("alpha", [1.0, 9.0])
def test_other_distributions_are_refused(alpha: float) -> None:
    with pytest.raises(InputError, match=f"fwe: alpha must be 1.01 … 8, got {alpha}"):
        FrequentWords(alpha)


def test_more_words_than_letters_make_are_refused() -> None:
    """26 words of one letter; 1350 tokens ask for 27."""
    assert len(set(example(FrequentWords(letters=1), 1300, 0, "words").draft.answers)) == 3
    with pytest.raises(InputError, match="fwe/1350/0: there are no 27 words of 1 letters: give more letters"):
        example(FrequentWords(letters=1), 1350, 0, "words")
