import re
from collections import Counter

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.cwe import BEFORE, CommonWords
from prompting import example, examples


def counted(text: str) -> Counter[str]:
    """The words of a numbered list."""
    return Counter(re.findall(r"\d+\. (\S+)", text))


@settings(max_examples=10)
@given(examples(CommonWords(), 2400))
def test_the_answers_are_the_most_common_words(example: PromptExample) -> None:
    found = counted(example.prompt.text.rpartition(BEFORE)[2])
    assert {word for word, times in found.most_common(10)} == set(example.draft.answers)
    assert {times for word, times in found.items() if word in example.draft.answers} == {6}
    assert {times for word, times in found.items() if word not in example.draft.answers} <= {1}


def test_long_prompts_repeat_more() -> None:
    made = example(CommonWords(), 4096, name="words")
    times = Counter(counted(made.prompt.text.rpartition(BEFORE)[2]).values())
    assert times[30] == 10
    assert times[3] > 30
    assert sum(times.values()) - times[30] - times[3] <= 1


def test_the_list_is_numbered() -> None:
    numbers = re.findall(r"(\d+)\. \S+", example(CommonWords(), 2048).prompt.text.rpartition(BEFORE)[2])
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))


def test_the_solved_example_is_right() -> None:
    text = example(CommonWords(), 2048).prompt.text
    solved, _, rest = text.partition(" Answer: The top 10 words that appear most often in the list are:")
    found, shown = counted(solved), counted(rest.partition("\n")[0])
    assert {word for word, times in found.items() if times == 3} == set(shown)
    assert len(found) == 20


def test_common_words_are_everywhere() -> None:
    """Before the list is shuffled they all come first."""
    made = example(CommonWords(), 4096, name="words")
    words = re.findall(r"\d+\. (\S+)", made.prompt.text.rpartition(BEFORE)[2])
    quarters = [words[i * len(words) // 4 : (i + 1) * len(words) // 4] for i in range(4)]
    shares = [sum(word in made.draft.answers for word in quarter) / len(quarter) for quarter in quarters]
    assert max(shares) - min(shares) < 0.25


def test_no_answer_hides_in_another_word() -> None:
    made = example(CommonWords(), 4096, name="words")
    words = set(made.prompt.text.rpartition(BEFORE)[2].split())
    for answer in made.draft.answers:
        assert [word for word in words if answer in word] == [answer]
