"""The question on the page is the one that was asked, and the answers are those that were given."""

import json
from pathlib import Path
from typing import Any

import pytest

from longspan import bundled
from longspan.grid.records import Records
from longspan.measure.corpus.documents import library
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.models.model import LoadedModel
from longspan.measure.record import record_of
from longspan.report.page import page
from longspan.report.sample import samples
from longspan.study.summary import Summary
from report.summaries import summary

LENGTH = 700


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A folder with the readings of two documents, the summary that goes with it, and the first document's text."""
    folder = tmp_path_factory.mktemp("study")
    model = LoadedModel.load("bundled", "float32")
    found = library(bundled.documents(), model.tokenizer, LENGTH, 2).documents[:2]
    own = {"model": "bundled", "dtype": "float32", "fingerprint": model.fingerprint, "trained_length": 512}
    with Records(folder / "results.jsonl") as records:
        for document in reversed(found):
            for kind in (Reading, Truncation):
                asked = kind(**own, method="plain", document=document, length=LENGTH, tail=64, seed=3)
                records.append(record_of(asked, model))
    with (folder / "results.jsonl").open("a") as lines:
        lines.write('{"key":"cut')  # a killed run
    described = summary(winner=None)
    described["methods"] = described["methods"][:2]
    described["setting"] |= {"length": LENGTH, "documents": [document.name for document in found], "seed": 3}
    asked = Reading(**own, method="plain", document=found[0], length=LENGTH, tail=64, seed=3)
    return folder, described, model.tokenizer.decode(list(asked.text(model.tokenizer, model.opening).ids))


def test_the_questions_are_in_the_text(measured: tuple[Path, dict[str, Any], str]) -> None:
    """The first group of four facts, each asked once."""
    folder, described, text = measured
    found = samples(Summary.of(described), folder)
    assert len(found) == 4
    assert {each.fact for each in found} == set(found[0].choices)
    for each in found:
        assert each.document == described["setting"]["documents"][0]
        assert f"{each.question} {each.fact}" in text
        assert each.choices == found[0].choices
        assert [answer.method for answer in each.answers] == ["truncation", "plain"]


def test_an_answer_is_right_where_it_is_the_fact(measured: tuple[Path, dict[str, Any], str]) -> None:
    folder, described, _ = measured
    found = samples(Summary.of(described), folder)
    for each in found:
        for answer in each.answers:
            assert answer.word in each.choices
            assert answer.right == (answer.word == each.fact)
    html = page(Summary.of(summary()), None, found)
    assert html.count(" …” <b>") == 4
    assert f"“{found[1].question} …” <b>{found[1].fact}</b>" in html


def test_the_answers_are_those_of_the_records(measured: tuple[Path, dict[str, Any], str]) -> None:
    """Right as often as the record says of the same questions."""
    folder, described, _ = measured
    found = samples(Summary.of(described), folder)
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()[:-1]
    for record in map(json.loads, lines):
        if record["arguments"]["document"]["path"].endswith(found[0].document):
            method = "truncation" if record["arguments"]["kind"] == "truncation" else "plain"
            shown = [answer.right for each in found for answer in each.answers if answer.method == method]
            assert shown == [each["right"] for each in record["result"]["questions"][:4]]


def test_the_other_document_is_asked_by_its_name(measured: tuple[Path, dict[str, Any], str]) -> None:
    """The order of the records does not matter."""
    folder, described, text = measured
    other = {**described, "setting": {**described["setting"]}}
    other["setting"]["documents"] = other["setting"]["documents"][::-1]
    (first, *_) = samples(Summary.of(other), folder)
    assert f"{first.question} {first.fact}" not in text


def test_without_records_or_documents_there_is_no_question(
    measured: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    folder, described, _ = measured
    read = Summary.of(described)
    assert samples(read, tmp_path) == ()
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()[:-1]
    for change in ({"digest": "another"}, {"path": "/nowhere.txt"}):
        records = [json.loads(line) for line in lines]
        for record in records:
            record["arguments"]["document"] |= change
        (tmp_path / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        assert samples(read, tmp_path) == ()
