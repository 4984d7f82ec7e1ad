"""Rows of tasks in token ids: they ask what the task asks, of ids that the tokenizer keeps, and no row twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.models.model import LoadedModel
from longspan.measure.scoring.examining import examined
from longspan.task import Material
from longspan.tasks.mqar import MultiQueryRecall
from longspan.tasks.position_probe import PositionProbe
from longspan.train.data.tasks.sequences import Sequences
from longspan.train.run import Run
from longspan.train.settings import settings_of
from small_runs import MODEL

MQAR = MultiQueryRecall(vocabulary=40, tokens_per_pair=4)


@given(step=st.integers(0, 9999), count=st.integers(1, 5), seed=st.integers(0, 3))
def test_a_repeated_key_asks_for_the_token_that_came_after_it(step: int, count: int, seed: int) -> None:
    reading = Sequences(MQAR, 42, 32, 8, 32, seed)
    batch = reading.batch(step, count)
    assert len(batch.inputs) == count
    assert 7 <= batch.inputs.shape[1] <= 32
    for ids, targets, asked in zip(batch.inputs.tolist(), batch.targets.tolist(), batch.asked.tolist(), strict=True):
        pairs = len(ids) // 4 if len(ids) % 4 != 3 else (len(ids) + 1) // 4
        after = dict(zip(ids[: 2 * pairs : 2], ids[1 : 2 * pairs : 2], strict=True))
        assert {i: targets[i] for i, wanted in enumerate(asked) if wanted} == {
            i: after[token] for i, token in enumerate(ids) if i >= 2 * pairs and token in after
        }
    again = reading.batch(step, count)
    assert (again.inputs == batch.inputs).all()


def test_steps_rows_seeds_and_all_lengths_differ() -> None:
    one, two = Sequences(MQAR, 42, 32, 8, 32), Sequences(MQAR, 42, 32, 8, 32, seed=1)
    rows = {tuple(row) for each in (one, two) for step in range(20) for row in each.batch(step, 3).inputs.tolist()}
    assert len(rows) == 120
    lengths = {one.batch(step, 1).inputs.shape[1] for step in range(300)}
    assert lengths == {8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32}


def test_no_sequence_is_trained_and_tested() -> None:
    """Forty tokens of five lengths are two hundred sequences, which repeat all the time."""
    reading = Sequences(PositionProbe(vocabulary=40), 42, 12, 8, 12)
    trained = {tuple(row) for step in range(200) for row in reading.batch(step, 8).inputs.tolist()}
    tested = {tuple(reading.test(length, index).inputs[0].tolist()) for length in range(8, 13) for index in range(30)}
    assert len(trained) > 100
    assert len(tested) > 10
    assert not trained & tested


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Sequences(MQAR, 42, 16, 8, 32), "an example of 32 tokens is longer than training.length, 16"),
        (Sequences(MQAR, 39, 32, 8, 32), "mqar has 40 token ids and the tokenizer 39"),
        (Sequences(MQAR, 42, 96, 8, 96), "96 tokens and 24 pairs"),
        (Sequences(MQAR, 42, 32, 3, 32), "3 tokens and 0 pairs"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(reading: Sequences, why: str) -> None:
    with pytest.raises(InputError, match=why):
        reading.check()


def test_too_few_sequences_are_one_line() -> None:
    """There are two, and neither belongs to the tests."""
    with pytest.raises(InputError, match="position_probe has too few sequences of 4 tokens"):
        Sequences(PositionProbe(vocabulary=2), 8, 4, 4, 4).test(4, 0)


def trained(folder: Path, task: str, plan: str) -> Run:
    tables = {
        "model": MODEL,
        "design": {"plan": plan},
        "data": {"task": task, "tokenizer": "symbols", "shortest": 8, "longest": 32},
        "training": {"length": 32, "steps": 2, "batch": 2},
        "test": {"lengths": [16, 48], "docs": 2},
    }
    run = Run(settings_of(tables), folder)
    for _ in run.train():
        pass
    return run


@pytest.mark.parametrize("task", ["mqar(vocabulary=40, tokens_per_pair=4)", "position_probe(vocabulary=40, first=3)"])
@pytest.mark.parametrize("plan", ["rope", "alibi + bidirectional"])
def test_trained_models_are_asked_beyond_the_trained_length(tmp_path: Path, task: str, plan: str) -> None:
    run = trained(tmp_path / "run", task, plan)
    assert run.exam is not None
    different = sum(len(run.exam.indices(length)) for length in run.settings.lengths)
    assert [done for done, _ in run.exam.take(run.folder / "model", tmp_path)] == list(range(1, different + 1))
    assert different == 4 or task.startswith("position_probe")  # which may draw one sequence twice


@pytest.mark.parametrize("task", ["mqar(vocabulary=40, tokens_per_pair=4)", "position_probe(vocabulary=40, first=3)"])
def test_a_trained_model_keeps_the_ids_of_the_task(tmp_path: Path, task: str) -> None:
    """So that `longspan measure --task` asks it the same."""
    reading = trained(tmp_path / "run", task, "rope").reading
    assert isinstance(reading, Sequences)
    model = LoadedModel.load(str(tmp_path / "run" / "model"), "float32")
    ids = reading.test(48, 1).inputs[0].tolist()
    assert model.tokenizer("".join(f" {token}" for token in ids))["input_ids"] == ids
    assert 0 <= examined(model, reading.task.example(Material(model.tokenizer), 48, "0"))["score"] <= 1


def test_sequences_have_no_stage_before(tmp_path: Path) -> None:
    tables = {
        "model": MODEL,
        "data": {"task": "mqar(vocabulary=40)", "tokenizer": "symbols", "shortest": 16, "longest": 32},
        "training": {"length": 32},
        "pretraining": {"steps": 2},
    }
    with pytest.raises(InputError, match="has no inputs to predict"):
        Run(settings_of(tables), tmp_path / "run")
