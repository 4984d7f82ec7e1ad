import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings

from longspan.prompts.example import PromptExample
from longspan.tasks.listops import ListOps, Node
from prompting import between, example, examples

PINNED = "4156383e2e68d1620a0c923ca0014c0cab9214010055c9957e679b3296959dc5"
"""SHA-256 of three prompts; a change of one is a new task."""


def value(text: str) -> tuple[int, int, set[int]]:
    """Evaluate with a stack: the value, the most operations inside one another, and all numbers of arguments."""
    stack: list[list[str]] = []
    deepest, counts, last = 0, set[int](), ""
    for symbol in text.split():
        if symbol.startswith("["):
            stack.append([symbol[1:]])
            deepest = max(deepest, len(stack))
            continue
        if symbol == "]":
            operation, *digits = stack.pop()
            ordered = sorted(map(int, digits))
            counts.add(len(ordered))
            middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2
            found = {"MIN": ordered[0], "MAX": ordered[-1], "MED": middle, "SM": sum(ordered) % 10}
            symbol = str(found[operation])
        last = symbol
        if stack:
            stack[-1].append(symbol)
    assert not stack
    return int(last), deepest, counts


@settings(max_examples=20)
@given(examples(ListOps(), 700))
def test_the_answer_is_the_value(example: PromptExample) -> None:
    found, deepest, counts = value(between(example.prompt.text, "Expression: ", "\nValue"))
    assert example.draft.answers == (str(found),)
    assert deepest <= 10
    assert counts <= set(range(2, 11))


@pytest.mark.parametrize(("text", "result"), [("[MAX 2 9 [MIN 4 7 ] 0 ]", 9), ("[SM 4 [MED 1 4 ] 9 ]", 5)])
def test_the_solver_knows_the_papers_cases(text: str, result: int) -> None:
    assert value(text)[0] == result


def test_a_node_knows_them_too() -> None:
    med = Node(2, 0, "MED", [Node(3, 1), Node(3, 4)])
    assert Node(1, 0, "SM", [Node(2, 4), med, Node(2, 9)]).value() == 5
    assert "".join(med.written()) == "[MED 1 4 ] "


def test_levels_and_arguments_are_settings() -> None:
    made = example(ListOps(levels=3, arguments=4), 100, name="words")
    _, deepest, counts = value(between(made.prompt.text, "Expression: ", "\nValue"))
    assert deepest <= 3
    assert counts <= {2, 3, 4}


def test_no_answer_is_right_more_often_than_a_third() -> None:
    answers = Counter(example(ListOps(), 500, index, "words").draft.answers for index in range(40))
    assert len(answers) == 10
    assert max(answers.values()) < 16


def test_every_machine_draws_the_same() -> None:
    prompts = "\n".join(example(ListOps(), 300, index, "words").prompt.text for index in range(3))
    assert hashlib.sha256(prompts.encode()).hexdigest() == PINNED
