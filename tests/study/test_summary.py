"""Summaries of older versions are read, and stored results give the summary that they always gave."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from longspan.measure.corpus.documents import Document
from longspan.measure.measurement import Measurement
from longspan.study.judgement import summarize
from longspan.study.planning.budget import full_plan, shortest_verdict
from longspan.study.planning.cells import measurements
from longspan.study.planning.subject import Subject
from longspan.study.results import Results
from longspan.study.storing.folder import StudyFolder
from longspan.study.summary import Race, Setting, Summary

STORED = Path(__file__).parent / "stored"
COMMITTED = sorted((Path(__file__).parents[2] / "experiments" / "results").glob("extend-*/summary.json"))


def documents(asked: Iterable[Measurement]) -> dict[str, Document]:
    return {each.document.name: each.document for each in asked}


def test_stored_results_are_resumed_and_give_the_same_summary(tmp_path: Path) -> None:
    """A folder that version 0.1 wrote before plans had cells: no number has changed, and nothing is measured again.

    What is missing are the shorter texts that decide who races, which version 0.1 did not read, and the plain model on
    the beginning of the race's text, of which it read all.
    """
    for name in ("run.json", "results.jsonl"):
        (tmp_path / name).write_bytes((STORED / name).read_bytes())
    stored = json.loads((STORED / "summary.json").read_text())
    run = json.loads((STORED / "run.json").read_text())
    subject = Subject(**{name: value for name, value in run.items() if name != "format"})
    with StudyFolder(tmp_path, subject) as folder:
        asked = [Measurement.of(record["arguments"]) for record in folder.records.by_key.values()]
        assert [each.key for each in asked] == list(folder.records.by_key)
        by_name = documents(asked)
        methods = list(dict.fromkeys(each.method for each in asked if each.method != "plain"))
        judge, race = ([by_name[name] for name in stored[part]["documents"]] for part in ("setting", "race"))
        more = [f"rerope(window={w})" for w in range(20, 29)]
        plan = shortest_verdict(full_plan(subject, [*methods, *more], race, judge))
        cells = plan.judgement_cells(stored["race"]["finalists"])
        unread = measurements([*plan.entry_cells(), *plan.race_cells(0, ())])
        assert folder.missing(measurements([*plan.whole_race(), *cells])) == unread
        raced = Race.of(stored["race"], subject.length)
        found = summarize(plan, raced, Results(cells, folder.record), Setting.of(stored["setting"]), 10**6)
    rows = [{name: value for name, value in row.items() if name != "against"} for row in found.json()["methods"]]
    assert rows == stored["methods"]
    assert found.setting == Setting.of(stored["setting"])


def test_a_summary_reads_what_it_writes() -> None:
    written = json.loads((STORED / "summary.json").read_text())
    found = Summary.of(written)
    assert found.json() | written == found.json() | {"race": written["race"]}
    assert Summary.of(json.loads(json.dumps(found.json()))) == found


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_summaries_of_older_versions_are_read(path: Path) -> None:
    """They lack names that came later; nothing of what they hold is lost."""
    written = json.loads(path.read_text())
    found = Summary.of(written).json()
    assert found["methods"] == written["methods"]
    assert found["setting"] == written["setting"]
    assert found | written == found | {"race": written["race"]}
    assert [{**new, **old} for new, old in zip(found["race"]["rows"], written["race"]["rows"], strict=True)] == (
        found["race"]["rows"]
    )
