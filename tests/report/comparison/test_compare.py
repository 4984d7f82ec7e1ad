"""Differences are paired where the same texts were read, and nowhere else."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longspan.measure.statistics.interval import paired
from longspan.report.comparison.compare import Comparison, Row, compare
from longspan.report.comparison.finished import FACTS, LOSS, read
from report.comparison.folders import METHODS, study, survey

FIRST = "rerope(window=256)"


def flat(shift: float = 0.0) -> dict[str, list[float]]:
    """Losses whose differences between methods are the same for each document."""
    return {method: [loss + shift + i / 8 for i in range(8)] for method, loss in METHODS.items()}


def rows(comparison: Comparison) -> dict[tuple[str, str], Row]:
    return {(row.label, row.method): row for row in comparison.rows}


LOSSES = st.lists(st.floats(0, 9), min_size=8, max_size=8)


@given(LOSSES, LOSSES, st.integers(0, 7))
@example([3.0] * 8, [4.0] * 8, 7)
def test_differences_are_those_of_the_documents_that_both_read(
    one: list[float], other: list[float], missing: int
) -> None:
    """As `paired` on the shared documents; whatever the order of the records."""
    with TemporaryDirectory() as name:
        a = study(Path(name) / "a", {FIRST: one, "plain": other})
        b = study(Path(name) / "b", {"plain": other[: 8 - missing]})
        found = rows(compare(read([a, b])))
    assert found["a", "plain"].differences[LOSS] == paired(other, one)
    shared = 8 - missing
    if shared < 2:
        assert found["b", "plain"].differences == {}
        assert found["b", "plain"].unpaired == "only one document in common: two give a difference its interval"
    else:
        assert found["b", "plain"].differences[LOSS] == paired(other[:shared], one[:shared])
        assert found["b", "plain"].unpaired is None


def test_a_folder_beside_its_copy_differs_by_nothing(tmp_path: Path) -> None:
    found = rows(compare(read([study(tmp_path / "a", flat()), study(tmp_path / "b", flat())])))
    same = found["b", FIRST].differences
    assert {name: (each.value, each.low, each.high) for name, each in same.items()} == {
        LOSS: (0, 0, 0),
        FACTS: (0, 0, 0),
    }
    assert found["a", FIRST].differences == {}
    assert found["a", FIRST].unpaired is None
    for method in METHODS:
        if method != FIRST:
            assert found["a", method].differences == found["b", method].differences


def test_swapping_the_folders_changes_signs_only(tmp_path: Path) -> None:
    a, b = study(tmp_path / "a", flat()), study(tmp_path / "b", flat(0.5))
    there = rows(compare(read([a, b])))["b", FIRST].differences[LOSS]
    back = rows(compare(read([b, a])))["a", FIRST].differences[LOSS]
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.value == pytest.approx(0.5)


def test_facts_are_paired_by_their_shares(tmp_path: Path) -> None:
    none, all_right = {method: [0] * 8 for method in METHODS}, {method: [2, 1] * 4 for method in METHODS}
    a = study(tmp_path / "a", flat(), rights=none)
    b = study(tmp_path / "b", flat(), rights=all_right)
    assert rows(compare(read([a, b])))["b", FIRST].differences[FACTS] == paired([1, 0.5] * 4, [0] * 8)


def test_what_cannot_be_paired_says_why(tmp_path: Path) -> None:
    a, other_model = study(tmp_path / "a", flat()), study(tmp_path / "other-model", flat())
    of_256 = (other_model / "results.jsonl").read_text().replace('"trained_length": 512', '"trained_length": 256')
    (other_model / "results.jsonl").write_text(of_256.replace('"tail": 128', '"tail": 64'))
    cases = {
        study(tmp_path / "other-texts", flat(), texts="play"): "other texts, or another tokenizer",
        other_model: "the same texts, asked otherwise: another trained length, or another order of texts",
        study(tmp_path / "no-records"): "no results of single documents (results.jsonl)",
        study(tmp_path / "other-length", flat(), length=8192): "measured something else, or at another length",
        survey(tmp_path / "survey", {("plain", 4096): [1.0, 0.5]}): "measured something else",
    }
    for folder, words in cases.items():
        for row in compare(read([a, folder])).rows:
            if row.label == folder.name:
                assert row.differences == {}
                assert row.unpaired is not None
                assert words in row.unpaired


def test_one_document_is_the_same_text_and_too_few(tmp_path: Path) -> None:
    """Of one folder, too."""
    only = rows(compare(read([study(tmp_path / "a", {method: [loss] for method, loss in METHODS.items()})])))
    assert {row.unpaired for row in only.values()} == {
        None,
        "only one document in common: two give a difference its interval",
    }


def test_surveys_pair_by_example_and_by_text(tmp_path: Path) -> None:
    """A task without a text is made by the tokenizer, so that another model has other examples; a text is a text."""
    scores = {("plain", 512): [0.5, 1.0, 0.0], ("plain", 1024): [0.25, 0.5, 0.0]}
    better = {key: [value + (i + 1) / 10 for i, value in enumerate(values)] for key, values in scores.items()}
    a, b = survey(tmp_path / "a", scores), survey(tmp_path / "b", better)
    other = survey(tmp_path / "other", better, fingerprint="1" * 16)
    found = {(row.label, row.length): row.differences for row in compare(read([a, b, other])).rows}
    assert found["a", 512] == {}
    for length in (512, 1024):
        assert found["b", length]["mqar"] == paired(better["plain", length], scores["plain", length])
        assert found["b", length]["last_k"].value == pytest.approx(0.2)
        assert list(found["other", length]) == ["last_k"]


def test_a_method_that_failed_has_no_numbers_and_is_not_hidden(tmp_path: Path) -> None:
    a = study(tmp_path / "a", flat())
    found = json.loads((a / "summary.json").read_text())
    found["methods"][3] = {"method": "yarn(factor=8.0)", "failed": "the model returned NaN"}
    (a / "summary.json").write_text(json.dumps(found))
    row = rows(compare(read([a])))["a", "yarn(factor=8.0)"]
    assert (row.failed, dict(row.values), row.unpaired) == ("the model returned NaN", {}, None)
