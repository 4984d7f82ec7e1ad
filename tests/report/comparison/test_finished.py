"""Folders are read as they were written, and their records say what their summaries say."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from longspan.errors import InputError
from longspan.report.comparison.finished import FACTS, LOSS, read
from longspan.study.judgement import summarize
from longspan.study.planning.cells import measurements
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Results
from report.comparison.folders import METHODS, study, survey
from study.drawn import plans, raced, record, setting

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "experiments" / "results"


@given(plans())
@settings(max_examples=25)
def test_the_values_of_documents_average_to_the_summary(plan: StudyPlan) -> None:
    """Whatever a study measured: its records give the means that its summary shows, for the same documents."""
    race = raced(plan)
    cells = plan.judgement_cells(race.finalists)
    found = summarize(plan, race, Results(cells, record), setting(plan), 100)
    records = [{**record(asked), "arguments": asked.arguments} for asked in measurements(cells)]
    with TemporaryDirectory() as folder:
        (Path(folder) / "summary.json").write_text(json.dumps(found.json()))
        (Path(folder) / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        (read_back,) = read([Path(folder)])
    for number in read_back.measured:
        if number.quantity in (LOSS, FACTS) and number.method in [row.method for row in found.measured]:
            assert number.estimate is not None
            values = list(number.by_document.values())
            assert len(values) == number.estimate.documents
            assert sum(values) / len(values) == pytest.approx(number.estimate.value)


def more_of(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Every record once more, of a text of the same name but other tokens, with a result of its own."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines() if line.endswith("}")]
    with (folder / "results.jsonl").open("a") as file:
        for line in lines:
            if document := line["arguments"]["document"]:
                document["digest"] += " of another text"
                change(line["result"])
                file.write("\n" + json.dumps({**line, "key": f"{line['key']} again"}))


def test_texts_of_the_same_name_are_not_those_of_the_summary(tmp_path: Path) -> None:
    """Novels in folders of their own are all called chapter1.txt, some of them raced and some judged."""
    losses = {method: [loss + i / 8 for i in range(8)] for method, loss in METHODS.items()}
    before = study(tmp_path / "a", losses, digests=[f"novel-{i}" for i in range(8)])
    after = study(tmp_path / "b", losses, digests=[f"novel-{i}" for i in range(8)])
    more_of(after, lambda result: result.update(loss=99.0))
    (first, second) = read([before, after])
    assert first.measured == second.measured
    assert {len(number.by_document) for number in first.measured if number.quantity in (LOSS, FACTS)} == {8}


def test_a_survey_of_other_texts_in_the_same_folder_does_not_count(tmp_path: Path) -> None:
    scores = {("plain", 512): [0.5, 1.0], ("plain", 1024): [0.25, 0.5]}
    before, after = survey(tmp_path / "a", scores), survey(tmp_path / "b", scores)
    for folder in (before, after):
        found = json.loads((folder / "summary.json").read_text())
        found["setting"]["beginnings"] = {"512": ["d0", "d1"], "1024": ["d0", "d1"]}
        (folder / "summary.json").write_text(json.dumps(found))
    more_of(after, lambda result: result.update(value=99.0))
    (first, second) = read([before, after])
    assert first.measured == second.measured
    assert all(len(number.by_document) == 2 for number in first.measured)


def test_a_summary_that_does_not_say_which_texts_it_is_about_pairs_no_others(tmp_path: Path) -> None:
    """As older versions wrote them: where the records are of more texts, nobody knows which ones count."""
    losses = {method: [loss + i / 8 for i in range(8)] for method, loss in METHODS.items()}
    of_study, of_survey = study(tmp_path / "a", losses), survey(tmp_path / "b", {("plain", 512): [0.5, 1.0]})
    more_of(of_study, lambda result: result.update(loss=99.0))
    more_of(of_survey, lambda result: result.update(value=99.0))
    found = read([of_study, of_survey])
    assert all(not number.by_document for number in found[0].measured)
    assert {number.quantity: len(number.by_document) for number in found[1].measured} == {"mqar": 2, "last_k": 0}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in RESULTS.glob("extend-*/summary.json")))
def test_committed_studies_are_read(name: str) -> None:
    (found,) = read([RESULTS / name])
    assert found.label == name
    assert found.verb == "extend"
    assert found.says
    assert {number.quantity for number in found.measured} >= {LOSS, FACTS}
    assert any(number.method == found.first for number in found.measured)


def test_a_survey_is_read(tmp_path: Path) -> None:
    (found,) = read([survey(tmp_path / "s", {("plain", 512): [0.5, 1.0], ("plain", 1024): [0.25, 0.5]})])
    assert found.verb == "measure"
    assert {(n.quantity, n.length, n.unit): n.estimate and n.estimate.value for n in found.measured} == {
        ("mqar", 512, "score"): 0.75,
        ("mqar", 1024, "score"): 0.375,
        ("last_k", 512, "nats"): 1.75,
        ("last_k", 1024, "nats"): 1.375,
    }
    assert all(len(number.by_document) == 2 for number in found.measured)


def test_folders_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    one, other, third = study(tmp_path / "a" / "x"), study(tmp_path / "b" / "x"), study(tmp_path / "y")
    assert [each.label for each in read([one, other, third])] == [str(one), str(other), "y"]


def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path) -> None:
    begun, other, torn, strange = (tmp_path / name for name in ("begun", "other", "torn", "strange"))
    for folder in (begun, other, torn, strange):
        folder.mkdir()
    (begun / "run.json").write_text("{}")
    (torn / "summary.json").write_text('{"race"')
    (strange / "summary.json").write_text('{"race": 1}')
    good = study(tmp_path / "good")
    refusals = {
        begun: "begun is not finished: run its command again",
        other: "other holds no results: give folders that longspan extend or longspan measure wrote",
        tmp_path / "none": "none holds no results",
        torn: "cannot be read",
        strange: "is no summary",
        good / ".": "good was given twice",
        good / "summary.json": "holds no results",
    }
    for folder, words in refusals.items():
        with pytest.raises(InputError, match=words) as caught:
            read([good, folder])
        assert "\n" not in str(caught.value)
