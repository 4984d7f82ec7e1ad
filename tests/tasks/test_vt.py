import re

from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.prompts.filler import NOISE
from longspan.tasks.vt import VariableTracking
from prompting import example, examples


def variables(text: str) -> list[str]:
    """Follow the assignments from the asked value on."""
    value = re.findall(r"assigned the value (\d+) in the text", text)[-1]
    lines = text.splitlines()
    found = [line.split()[1] for line in lines if re.fullmatch(rf"VAR \w+ = {value}", line)]
    for name in found:
        found += [line.split()[1] for line in lines if re.fullmatch(rf"VAR \w+ = VAR {name} ?", line)]
    return found


@settings(max_examples=10)
@given(examples(VariableTracking(), 1700))
def test_the_chain_leads_to_the_answers(example: PromptExample) -> None:
    assert variables(example.prompt.text) == list(example.draft.answers)
    assert len(example.draft.answers) == len(example.depths) == 5
    assert list(example.depths) == sorted(example.depths)
    assert "5 variables are assigned the value" in example.prompt.question
    assert not any(name in " ".join(NOISE).upper() for name in example.draft.answers)
    assert not any(name in example.prompt.without_needles().text for name in example.draft.answers)


def test_the_solved_example_is_right() -> None:
    text = example(VariableTracking(chains=2), 2000).prompt.text
    solved = text.partition("\n\n\n\n")[0]
    question, _, shown = solved.rpartition("they are: ")
    assert variables(question) == shown.split()
    assert len(shown.split()) == 5


def test_other_chains_are_not_answers() -> None:
    made = example(VariableTracking(chains=3, hops=2), 2000)
    assert variables(made.prompt.text) == list(made.draft.answers)
    assert len(made.draft.answers) == 3
    assert made.prompt.text.partition("\n\n\n\n")[2].count("VAR ") == 9 + 6


def test_the_demonstration_is_short_in_short_prompts() -> None:
    noise = " ".join(NOISE)
    assert [example(VariableTracking(), n).prompt.before.count(noise) for n in (1000, 2048, 5000)] == [2, 5, 10]
