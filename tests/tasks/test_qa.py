import json
from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.tasks.qa import Qa
from prompting import between, example, material
from tiny import prose


def paragraph(article: int, number: int) -> dict[str, object]:
    """A paragraph with a question that can be answered and one that cannot."""
    context = f"{prose(30, 10 * article + number)} The code of case {article}-{number} is w{article}x{number}."
    asked = {"question": f"Which code has {article}-{number}?", "answers": [{"text": f"w{article}x{number}"}] * 2}
    unanswered = {"question": "What is not there?", "answers": [], "is_impossible": True}
    return {"context": context, "qas": [asked | {"is_impossible": False}, unanswered]}


@pytest.fixture
def squad(tmp_path: Path) -> str:
    articles = [{"paragraphs": [paragraph(a, n) for n in range(4)]} for a in range(12)]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return str(path)


def test_a_file_of_questions_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    for version in (0, 10):
        articles = [{"paragraphs": [paragraph(a, version + n) for n in range(4)]} for a in range(12)]
        path.write_text(json.dumps({"data": articles}), encoding="utf-8")
        answer = example(Qa(str(path)), 1500, 0).draft.answers[0]
        assert version <= int(answer.partition("x")[2]) < version + 4


@pytest.mark.parametrize("index", range(6))
def test_the_answer_is_in_one_document(squad: str, index: int) -> None:
    made = example(Qa(squad), 1500, index)
    documents = between(made.prompt.text, "given documents.\n\n", "\n\nAnswer the question").split("\n\n")
    assert [text.split(":\n")[0] for text in documents] == [f"Document {i + 1}" for i in range(len(documents))]
    asked = between(made.prompt.text, "Question: ", " Answer:")
    case = between(asked, "Which code has ", "?")
    (found,) = [text for text in documents if f"The code of case {case} is" in text]
    assert made.draft.answers == (between(found, " is ", "."),)
    assert not any(answer in made.prompt.without_needles().text for answer in made.draft.answers)


def test_paragraphs_of_the_same_article_come_first(squad: str) -> None:
    made = example(Qa(squad), 1500, 5)
    article = made.draft.answers[0].partition("x")[0]
    assert {f"{article}x{number}." in made.prompt.text for number in range(4)} == {True}


def test_questions_without_an_answer_are_left_out(squad: str) -> None:
    asked = [example(Qa(squad), 1000, index).prompt.question for index in range(60)]
    assert len(set(asked)) > 20
    assert all("Which code has" in question for question in asked)


def test_prompts_of_all_lengths_ask_the_same_question(squad: str) -> None:
    assert len({example(Qa(squad), length, 7).prompt.question for length in (1000, 1500, 2000)}) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot read the questions in .*set path to a file in SQuAD's format"),
        ("no JSON", "is no file in SQuAD's format: JSONDecodeError"),
        ("{}", "is no file in SQuAD's format: KeyError at 'data'"),
        ("[]", "is no file in SQuAD's format: TypeError"),
        ('{"data": []}', "has no question with an answer"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "questions.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        Qa(str(path)).example(material("words"), 500, "0")


def test_a_task_without_a_file_asks_for_one() -> None:
    with pytest.raises(InputError, match="no file of questions is given: set path to a file in SQuAD's format"):
        Qa().example(material("words"), 500, "0")
