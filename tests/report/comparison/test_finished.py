"""Folders are read as they were written, and their records say what their summaries say."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from longspan.errors import InputError
from longspan.report.comparison.finished import FACTS, LOSS, read
from longspan.study.judgement import summarize
from longspan.study.planning.cells import measurements
from longspan.study.planning.plan import StudyPlan
from longspan.study.results import Results
from report.comparison.folders import study, survey
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
    records = []
    for asked in measurements(cells):
        arguments = asked.arguments
        arguments["document"] = {**arguments["document"], "digest": arguments["document"]["path"]}
        records.append({**record(asked), "arguments": arguments})
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
