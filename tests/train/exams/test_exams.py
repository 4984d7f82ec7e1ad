"""Exams of trained models: equal tokens at every length, a kill that costs one question, and what a table says."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from longspan.errors import InputError
from longspan.report.designs import means
from longspan.tasks.listops import ListOps
from longspan.train.comparison import CONTEXT, CONTEXT_DOCUMENTS, Row, compared
from longspan.train.data.masked import Hiding
from longspan.train.data.tasks.examples import held_out_draft
from longspan.train.data.texts import prepared
from longspan.train.data.tokenizers import MASK, byte_tokenizer
from longspan.train.exams.exam import ALL, RESULTS, read_records
from longspan.train.exams.hidden_tokens import SAME, HiddenTokens
from longspan.train.grid import Cell
from longspan.train.run import Run
from longspan.train.settings import Settings, settings_of
from small_runs import MODEL, texts


def encoder(folder: Path, plan: str = "rope + window(4) + bidirectional", **test: Any) -> Settings:
    """A masked language model of 16 tokens; two layers of window 4 see 6 tokens to either side."""
    texts(folder / "texts")
    texts(folder / "held", count=2, size=300)
    tables = {
        "model": MODEL,
        "design": {"plan": plan},
        "data": {"train": [str(folder / "texts" / "0.txt")], "test": [str(folder / "held" / "1.txt")]},
        "training": {"length": 16, "steps": 3, "batch": 2, "objective": "masked", "hidden": 0.3},
        "test": {"lengths": [8, 16, 40, 64], "docs": 3, **test},
    }
    return settings_of(tables)


def trained(settings: Settings, folder: Path) -> Run:
    run = Run(settings, folder)
    for _ in run.train():
        pass
    return run


def take(run: Run) -> list[dict[str, Any]]:
    assert run.exam is not None
    for _ in run.exam.take(run.folder / "model", run.folder / "measured"):
        pass
    return read_records(run.folder / "measured" / RESULTS)


def answers(record: dict[str, Any], method: str, length: int) -> bool:
    return (record["arguments"]["method"], record["arguments"]["length"]) == (method, length)


def test_what_a_model_cannot_see_changes_no_loss_of_the_same_tokens(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path), tmp_path / "run")
    found = {tuple(r["arguments"].values()): r["result"] for r in take(run)}
    for index in range(3):
        far = [found["plain", length, index][SAME]["loss"] for length in (40, 64)]
        assert far[0] == pytest.approx(far[1], rel=1e-5)
        counts = {found["plain", length, index][SAME]["asked"] for length in (8, 16, 40, 64)}
        assert len(counts) == 1  # the same tokens at every length
        assert found["plain", 64, index][ALL]["asked"] > counts.pop()
    assert any(found["plain", 8, i][SAME]["loss"] != found["plain", 64, i][SAME]["loss"] for i in range(3))


def test_equal_tokens_are_hidden_at_every_length(tmp_path: Path) -> None:
    settings, tokenizer = encoder(tmp_path), byte_tokenizer([MASK])
    held = prepared(settings.data.test, tokenizer, tmp_path / "ids")
    exam = HiddenTokens(settings, held, Hiding(257, 258, 0.3))
    reseeded = replace(settings, training=replace(settings.training, seed=1))
    other = HiddenTokens(reseeded, held, Hiding(257, 258, 0.3))
    for index in range(3):
        longest = exam.question(64, index)
        assert (other.question(64, index).batch.inputs == longest.batch.inputs).all()  # models of all seeds compare
        for length in (8, 16, 40):
            shorter = exam.question(length, index)
            cut = slice(32 - length // 2, 32 - length // 2 + length)
            assert (shorter.batch.inputs == longest.batch.inputs[:, cut]).all()
            assert (shorter.batch.asked == longest.batch.asked[:, cut]).all()
            assert int(shorter.counted[SAME].sum()) == int(longest.counted[SAME].sum())
    begins = sorted(int(exam._begin(index)) for index in range(16))
    assert max(b - a for a, b in pairwise([0, *begins, int(exam.places.sum())])) < 3 * int(exam.places.sum()) / 16


def test_more_documents_and_methods_keep_what_was_answered_and_other_lengths_do_not(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path), tmp_path / "run")
    first = take(run)

    def again(**test: Any) -> list[dict[str, Any]]:
        settings = replace(run.settings, test=replace(run.settings.test, **test))
        return take(Run(settings, run.folder))

    more = again(docs=4, methods=("window(4)",))
    assert more[: len(first)] == first
    assert len(more) == 2 * 4 * 4
    losses = [each["result"][SAME]["loss"] for each in more if answers(each, "plain", 8)]
    for docs in (3, 4):  # one that is not wanted any more does not count
        settings = replace(run.settings, test=replace(run.settings.test, docs=docs))
        row = compared([(Cell("encoder", 0, settings), run.folder)])[0]
        assert row.outcomes[0].loss[8] == pytest.approx(sum(losses[:docs]) / docs)
    (run.folder / "measured" / RESULTS).unlink()
    afresh = again(docs=4, methods=("window(4)",))
    assert sorted(map(json.dumps, afresh)) == sorted(map(json.dumps, more))
    assert all(record not in again(lengths=(8, 16, 40)) for record in first)


def test_a_kill_costs_one_question_and_changes_nothing(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path), tmp_path / "run")
    whole = take(run)
    path = run.folder / "measured" / RESULTS
    path.unlink()
    exam = run.exam
    assert exam is not None
    steps = exam.take(run.folder / "model", run.folder / "measured")
    assert list(islice(steps, 5))[-1] == (5, 12)
    steps.close()  # type: ignore[attr-defined]
    with path.open("a") as file:
        file.write('{"arguments": {"meth')
    assert take(run) == whole


def test_whether_context_helps_is_asked_of_more_documents_and_of_the_plain_model_only(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path, methods=["window(4)"]), tmp_path / "run")
    take(run)
    exam = run.context_exam
    assert exam is not None
    assert len(list(exam.take(run.folder / "model", run.folder / CONTEXT))) == 2 * CONTEXT_DOCUMENTS
    asked = [record["arguments"] for record in read_records(run.folder / CONTEXT / RESULTS)]
    assert {(each["method"], each["length"]) for each in asked} == {("plain", 4), ("plain", 16)}
    rows = compared([(Cell("encoder", 0, run.settings), run.folder)])
    (found,) = {row.outcomes[0].context for row in rows}  # of the model, whatever the method
    assert found is not None
    assert found.documents > len({each["index"] for each in asked}) // 2  # without those that hide nothing


def test_a_method_that_cannot_be_is_a_record_and_a_row(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path, methods=["rerope(window=4)"], docs=1), tmp_path / "run")
    failed = {r["arguments"]["method"]: r["failed"] for r in take(run)}
    assert failed["plain"] is None
    assert "nothing to extend" in failed["rerope(window=4)"]
    rows = compared([(Cell("encoder", 0, run.settings), run.folder)])
    assert "nothing to extend" in means(rows, run.settings.lengths)


def test_shares_have_wilsons_interval_and_a_model_at_chance_did_not_learn(tmp_path: Path) -> None:
    """Thirty answers of parity, whose chance is one half: 18 right ones prove nothing, 27 do."""
    settings = settings_of({"data": {"task": "parity", "longest": 20}, "test": {"lengths": [20, 40], "docs": 30}})
    rows = []
    for right in (18, 27):
        folder = tmp_path / str(right)
        (folder / "measured").mkdir(parents=True)
        records = [
            {
                "arguments": {"method": "plain", "length": length, "index": index},
                "result": {"all": {"loss": 0.5, "right": int(index < right), "asked": 1, "exact": index < right}},
                "failed": None,
            }
            for length in (20, 40)
            for index in range(30)
        ]
        (folder / "measured" / RESULTS).write_text("".join(json.dumps(record) + "\n" for record in records))
        rows += compared([(Cell(f"right {right}", 0, settings), folder)])
    assert [row.learned for row in rows] == [False, True]
    whole = rows[1].whole(20)
    assert whole is not None
    wilson = stats.binomtest(27, 30).proportion_ci(method="wilson")
    assert (whole.low, whole.high) == (pytest.approx(wilson.low), pytest.approx(wilson.high))
    assert f"90.0% [{wilson.low:.1%}, {wilson.high:.1%}]" in means(rows, (20, 40))
    assert [Row.of(json.loads(json.dumps(row.json()))) for row in rows] == rows


def test_questions_that_were_asked_twice_are_forgotten(tmp_path: Path) -> None:
    """A folder of an earlier version holds answers to equal prompts, and each was counted."""
    tables = {"model": MODEL, "data": {"task": "parity", "longest": 4}, "test": {"lengths": [4], "docs": 12}}
    run = trained(settings_of({**tables, "training": {"length": 96, "steps": 1, "batch": 2}}), tmp_path / "run")
    asked = take(run)
    assert len(asked) < 12
    path = run.folder / "measured" / RESULTS
    indices = {each["arguments"]["index"] for each in asked}
    again = [{**asked[0], "arguments": {**asked[0]["arguments"], "index": i}} for i in range(12) if i not in indices]
    path.write_text("".join(json.dumps(record) + "\n" for record in [*again, *asked]))
    assert take(run) == asked
    (row,) = compared([(Cell("parity", 0, run.settings), run.folder)])
    assert row.outcomes[0].whole[4].documents == len(asked)


def test_always_the_same_answer_is_not_trained(tmp_path: Path) -> None:
    """Of 100 expressions of ListOps 0 is right so often that one in ten would be beaten surely."""
    settings = settings_of({"data": {"task": "listops", "longest": 10}, "test": {"lengths": [10], "docs": 100}})
    answers = [held_out_draft(ListOps(), 10, index).answers for index in range(100)]
    ((most, count),) = Counter(answers).most_common(1)
    assert stats.binomtest(count, 100).proportion_ci(method="wilson").low > 1 / 10
    folder = tmp_path / "measured"
    folder.mkdir()
    found = [{"loss": 0.5, "right": int(each == most), "asked": 1, "exact": each == most} for each in answers]
    arguments = {"method": "plain", "length": 10}
    records = [{"arguments": {**arguments, "index": i}, "result": {"all": f}} for i, f in enumerate(found)]
    (folder / RESULTS).write_text("".join(json.dumps(record) + "\n" for record in records))
    (row,) = compared([(Cell("listops", 0, settings), tmp_path)])
    assert not row.learned


def test_a_text_that_is_too_short_is_one_line(tmp_path: Path) -> None:
    run = trained(encoder(tmp_path, lengths=[8, 999]), tmp_path / "run")
    with pytest.raises(InputError, match="no test text has 999 tokens, the longest has 300"):
        _ = run.exam
