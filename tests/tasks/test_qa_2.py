import json
from pathlib import Path
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.tasks.qa_2 import Qa2
from prompting import between, example, material
from tiny import prose


def question(number: int) -> dict[str, Any]:
    """A question that leads from a town to a river and from the river to a number, and one paragraph about neither."""
    context = [
        [f"Town {number}", [f"{prose(8, number)} Town {number} lies on", f" river R{number}."]],
        [f"Hill {number}", [f"{prose(8, number + 40)} The hill is high."]],
        [f"River {number}", [f"{prose(8, number + 80)} River R{number} is {7000 + number} feet long."]],
    ]
    supporting = [[f"Town {number}", 1], [f"River {number}", 0], [f"River {number}", 1]]
    asked = {"question": f"How long is the river of town {number}? ", "answer": f"{7000 + number}"}
    return {"_id": str(number), **asked, "context": context, "supporting_facts": supporting}


@pytest.fixture
def hotpot(tmp_path: Path) -> str:
    path = tmp_path / "hotpot.json"
    path.write_text(json.dumps([question(number) for number in range(40)]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("index", range(6))
def test_all_paragraphs_of_the_question_are_there(hotpot: str, index: int) -> None:
    made = example(Qa2(hotpot), 1500, index)
    documents = between(made.prompt.text, "given documents.\n\n", "\n\nAnswer the question").split("\n\n")
    heads = [text.split("\n")[:2] for text in documents]
    assert [head[0] for head in heads] == [f"Document {i + 1}:" for i in range(len(documents))]
    number = between(between(made.prompt.text, "Question: ", " Answer:"), "river of town ", "?")
    assert {f"Town {number}", f"Hill {number}", f"River {number}"} <= {head[1] for head in heads}
    assert made.draft.answers == (f"{7000 + int(number)}",)
    assert f"Town {number} lies on river R{number}." in made.prompt.text


@pytest.mark.parametrize("index", range(6))
def test_the_needles_are_what_answers(hotpot: str, index: int) -> None:
    made = example(Qa2(hotpot), 1500, index)
    number = between(made.prompt.question, "river of town ", "?")
    assert len(made.prompt.needles) == 2
    without = made.prompt.without_needles().text
    assert made.draft.answers[0] not in without
    assert f"Town {number} lies on" not in without
    assert f"Hill {number}" in without


def test_prompts_of_all_lengths_ask_the_same_question(hotpot: str) -> None:
    assert len({example(Qa2(hotpot), length, 7).prompt.question for length in (1000, 1500, 2000)}) == 1


def test_the_answer_scores(hotpot: str) -> None:
    made = example(Qa2(hotpot), 1000, 0)
    assert made.score(f"It is {made.draft.answers[0]} feet long.") == 1
    assert made.score("It is long.") == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read the questions in .*set path to a file in HotpotQA's format"),
        ("no JSON", "is no file in HotpotQA's format: JSONDecodeError"),
        ('{"data": []}', "is no file in HotpotQA's format: TypeError"),
        ('[{"question": "Why?"}]', "is no file in HotpotQA's format: KeyError at 'answer'"),
        ("[]", "has no question: give another file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "questions.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        Qa2(str(path)).example(material("words"), 500, "0")


def test_a_task_without_a_file_asks_for_one() -> None:
    with pytest.raises(InputError, match="no file of questions is given: set path to a file in HotpotQA's format"):
        Qa2().example(material("words"), 500, "0")
