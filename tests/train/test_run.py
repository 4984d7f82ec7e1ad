"""Training runs: what must change nothing, what a kill may cost, and what is refused before the first step."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from longspan.errors import InputError, LongspanError
from longspan.pretrained.storing.save import load
from longspan.train.data.next_tokens import NextTokens
from longspan.train.run import Run
from longspan.train.settings import settings_of
from small_runs import MODEL, settings

MIXED = "tile('MA', M=mamba(states=4), A=rope)"
PLANS = (
    "rope",
    "nope",
    "alibi",
    "kerple_log",
    "t5",
    "shaw",
    "xpos",
    "hwfa",
    "rope + key_norm",
    "rope + urpe",
    MIXED,
    "lru",
    "transformer_vq(codes=16)",
)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def trained(folder: Path) -> dict[str, Tensor]:
    found = load_file(folder / "model" / "model.safetensors")
    learned = folder / "model" / "learned.safetensors"
    return found | (load_file(learned) if learned.exists() else {})


def finish(run: Run) -> None:
    for _ in run.train():
        pass


@pytest.mark.parametrize(
    ("plan", "optimizer"),
    [(p, o) for p in ("kerple_log", "rope") for o in ("adamw", "muon")] + [("transformer_vq(codes=5)", "muon")],
)
def test_a_run_that_was_killed_goes_on_to_the_bit(tmp_path: Path, plan: str, optimizer: str) -> None:
    wanted = settings(tmp_path, plan, optimizer=optimizer, average=0.9)
    finish(Run(wanted, tmp_path / "whole"))
    for kill in (1, 4, 6, 11):
        folder = tmp_path / f"killed-{kill}"
        steps = Run(wanted, folder).train()
        for _ in range(kill):
            next(steps)
        steps.close()  # what was not saved is lost, as after a kill
        finish(Run(wanted, folder))
        assert losses(folder) == losses(tmp_path / "whole")
        first, second = trained(folder), trained(tmp_path / "whole")
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("plan", PLANS)
def test_every_design_learns_and_is_loaded_as_it_was_trained(tmp_path: Path, plan: str) -> None:
    run = Run(settings(tmp_path, plan, steps=60, batch=4, rate=2e-2), tmp_path / "run")
    finish(run)
    found = losses(tmp_path / "run")
    assert sum(found[-5:]) / 5 < 0.8 * sum(found[:5]) / 5
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        wanted = run.model(input_ids=ids).logits
        assert torch.equal(load(tmp_path / "run" / "model")(input_ids=ids).logits, wanted)


@example(packed=True, parts=4, bytes_of_a_slice=2**30)
@given(packed=st.booleans(), parts=st.sampled_from([1, 2, 4]), bytes_of_a_slice=st.sampled_from([2**10, 2**14, 2**30]))
def test_neither_parts_nor_slices_change_a_step(
    tmp_path_factory, packed: bool, parts: int, bytes_of_a_slice: int
) -> None:
    """Rows of packed documents are asked for different numbers of tokens, which all count the same."""
    folder = tmp_path_factory.mktemp("run")
    at_once, in_parts = settings(folder, batch=4), settings(folder, batch=4, accumulate=parts)
    if packed:
        for path in (folder / "texts").iterdir():
            path.unlink()
        for number in range(24):  # rows of many short documents, and rows of one long one
            text = "abcdefghijklmnop" if number > 17 else "abcdefghi"[number % 7 :][:2]
            (folder / "texts" / f"{number:02}.txt").write_text(text)
    whole = next(Run(at_once, folder / "whole").train())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longspan.train.loss.SLICE_BYTES", bytes_of_a_slice)
        step = next(Run(in_parts, folder / "parts").train())
    assert step.loss == pytest.approx(whole.loss, rel=1e-5)
    assert step.norm == pytest.approx(whole.norm, rel=1e-3)


def test_activations_that_are_computed_again_change_nothing(tmp_path: Path) -> None:
    finish(Run(settings(tmp_path), tmp_path / "kept"))
    finish(Run(settings(tmp_path, checkpointing=True), tmp_path / "again"))
    assert losses(tmp_path / "again") == pytest.approx(losses(tmp_path / "kept"), rel=1e-4)


@pytest.mark.parametrize("plan", ["rope", "kerple_log", "rerope(window=8)", MIXED])
def test_bfloat16_learns_what_float32_learns_up_to_rounding(tmp_path: Path, plan: str) -> None:
    found = []
    for dtype in ("bfloat16", "float32"):
        run = Run(settings(tmp_path, plan, dtype=dtype, save_every=12), tmp_path / dtype)
        finish(run)
        found.append(torch.tensor(losses(tmp_path / dtype)))
    assert not torch.equal(*found)
    assert torch.allclose(*found, rtol=5e-3)


def test_packed_documents_are_read_as_if_each_were_alone(tmp_path: Path) -> None:
    """With L = 16 and documents of 9 tokens, a row holds two of them; the first token of each is not predicted."""
    wanted = settings(tmp_path, "rope")
    for path in (tmp_path / "texts").iterdir():
        path.unlink()
    for number in range(6):
        (tmp_path / "texts" / f"{number}.txt").write_text("abcdefghi"[number:] + "abcdefghi"[:number])
    run = Run(wanted, tmp_path / "run")
    reading = run.reading
    assert isinstance(reading, NextTokens)
    batch, drawn = reading.batch(0, 2), reading.rows.draw(0, 2)
    assert drawn.positions is not None
    run.model.eval()
    with torch.no_grad():
        found = float(run.engine.objective(batch, None, int(batch.asked.sum())))
        alone, documents = [], 0
        for row, positions in zip(drawn.ids, drawn.positions, strict=True):
            starts = [*(positions == 0).nonzero()[:, 0].tolist(), len(row)]
            for start, stop in pairwise(starts):
                logits = run.model(input_ids=row[None, start:stop]).logits[0, :-1]
                documents += 1
                alone.append(torch.nn.functional.cross_entropy(logits, row[start + 1 : stop], reduction="none"))
    assert documents > len(drawn.ids)
    assert found == pytest.approx(float(torch.cat(alone).mean()), rel=1e-5)


def test_random_positions_are_given_to_the_model_and_depend_on_seed_and_step(tmp_path: Path) -> None:
    plain, moved = settings(tmp_path, "rope"), settings(tmp_path, "rope", design_positions="random(span=200)")
    finish(Run(plain, tmp_path / "plain"))
    finish(Run(moved, tmp_path / "moved"))
    finish(Run(moved, tmp_path / "again"))
    assert losses(tmp_path / "moved") == losses(tmp_path / "again")
    assert losses(tmp_path / "moved")[0] != losses(tmp_path / "plain")[0]


def test_the_neutral_sampler_changes_nothing(tmp_path: Path) -> None:
    finish(Run(settings(tmp_path, "rope"), tmp_path / "plain"))
    finish(Run(settings(tmp_path, "rope", design_positions="random(span=16)"), tmp_path / "moved"))
    assert losses(tmp_path / "moved") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)


@pytest.mark.parametrize(
    ("absolute", "positions"),
    [
        ("sinusoidal", "contiguous"),
        ("sinusoidal", "equal_mean(mean=16)"),
        ("learned", "contiguous"),
        ("learned(length=40)", "random(span=40)"),
    ],
)
def test_absolute_positions_are_trained_and_read_beyond_the_trained_length(
    tmp_path: Path, absolute: str, positions: str
) -> None:
    wanted = settings(tmp_path, "nope", steps=60, rate=2e-2, design_absolute=absolute, design_positions=positions)
    finish(Run(wanted, tmp_path / "run"))
    found = losses(tmp_path / "run")
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    ids = torch.arange(1, 60)[None]
    with torch.no_grad():
        logits = load(tmp_path / "run" / "model")(input_ids=ids).logits
    assert logits.isfinite().all()
    bare = load(tmp_path / "run" / "model").config.to_dict()
    assert "absolute" not in bare  # the design is not the architecture's


def test_sampled_positions_beyond_a_table_are_refused_before_the_first_step(tmp_path: Path) -> None:
    wanted = settings(tmp_path, "nope", design_absolute="learned", design_positions="random(span=40)")
    with pytest.raises(LongspanError, match=r"design\.positions or .* reach \d+, and .* end at 15"):
        Run(wanted, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_with_its_rows(tmp_path: Path) -> None:
    run = Run(settings(tmp_path), tmp_path / "run")
    with torch.no_grad():
        run.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(InputError, match="step 1 gives a loss of nan"):
        next(run.train())
    kept = json.loads((tmp_path / "run" / "broken-step-1.json").read_text())
    assert kept["ids"] == run.reading.batch(0, 2).inputs.tolist()


def test_another_run_in_the_folder_is_refused_and_other_tests_are_not(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    finish(Run(wanted, tmp_path / "run"))
    with pytest.raises(InputError, match=r"training.rate 0.01, not 0.02"):
        Run(settings(tmp_path, rate=2e-2), tmp_path / "run")
    Run(replace(wanted, test=replace(wanted.test, docs=3)), tmp_path / "run")


@pytest.mark.parametrize("begun", [True, False])
def test_texts_that_change_are_refused_once_a_step_has_read_them(tmp_path: Path, begun: bool) -> None:
    wanted = settings(tmp_path)
    run = Run(wanted, tmp_path / "run")
    if begun:
        finish(run)
    names = [tmp_path / "texts" / f"{number}.txt" for number in range(3)]
    before = [name.read_bytes() for name in names]
    for change in (lambda: names[1].write_text("other letters " * 40), names[2].unlink):
        change()
        for _ in range(2):  # a refusal changes nothing
            if begun:
                with pytest.raises(InputError, match=r"the training texts have changed since this run began \(.*\.txt"):
                    Run(wanted, tmp_path / "run")
            else:
                Run(wanted, tmp_path / "run")
        for name, text in zip(names, before, strict=True):
            name.write_bytes(text)
        assert Run(wanted, tmp_path / "run").step == (12 if begun else 0)


def test_test_texts_that_were_trained_on_are_refused(tmp_path: Path) -> None:
    folder = settings(tmp_path).data.train[0]
    with pytest.raises(InputError, match=r"0.txt is in data.train and in data.test"):
        Run(settings(tmp_path, data_test=[folder]), tmp_path / "run")
    (tmp_path / "other.txt").write_text((Path(folder) / "1.txt").read_text())
    with pytest.raises(InputError, match="of the test texts are in the training texts"):
        Run(settings(tmp_path, data_test=[str(tmp_path / "other.txt")]), tmp_path / "run")


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"model": {**MODEL, "hiden_size": 3}}, "did you mean 'hidden_size'"),
        ({"model": {**MODEL, "vocab_size": 3}}, "what the tokenizer and training.length give"),
        ({"model": {**MODEL, "architecture": "lama"}}, "transformers has no 'lama'"),
        ({"model": {**MODEL, "num_attention_heads": 3}}, "not a multiple of the number of attention heads"),
        ({"design": {"plan": "alibbi"}}, "did you mean 'alibi'"),
        ({"design": {"plan": "per_layer('AAA', A=rope)"}}, "3 layers"),
        ({"design": {"positions": "random(span=4)"}}, "span"),
        ({"design": {"positions": "randon(span=40)"}}, "did you mean 'random'"),
        ({"training": {"loss": "emmo"}}, "did you mean 'emo'"),
        ({"training": {"objective": "masked"}}, "needs a plan that sees both directions"),
        ({"design": {"plan": "rope + bidirectional"}}, "sees the token that it predicts"),
        ({"design": {"plan": "tile('AB', A=rope, B=rope + bidirectional)"}}, "some layers see later tokens"),
        ({"data": {"tokenizer": "symbols"}}, "made of a task's symbols"),
        ({"data": {"task": "reverse"}}, "leave out data.train"),
        ({"data": {"train": [], "task": "retrieval"}}, "asks about texts"),
        ({"data": {"train": [], "task": "revers"}}, "did you mean 'reverse'"),
        ({"pretraining": {"steps": 3}}, "give data.task"),
        ({"data": {"train": [], "task": "reverse", "tokenizer": "symbols"}}, "training.length is 16: give a larger"),
        ({"training": {"length": 5000}}, "smaller training.length"),
        ({"training": {"seed": -1}}, r"training\.seed must be 0 … \d+, got -1"),
        ({"training": {"seed": 2**70}}, r"training\.seed must be"),
        ({"training": {"weight_decay": -1.0}}, r"training\.weight_decay must be at least 0, got -1"),
        ({"design": {"seed": -1}}, r"design\.seed must be"),
        ({"design": {"positions": "random(span=64, rows=2)"}}, "leave out rows"),
        ({"test": {"docs": 0}}, r"test\.docs and test\.lengths must be at least 1, got 0"),
        ({"test": {"lengths": [16, -4]}}, r"got 16 and \[16, -4\]"),
        (
            {"data": {"train": [], "task": "reverse"}, "test": {"positions": "gird(span=400)"}},
            r"test\.positions: unknown sampler .* did you mean 'grid'",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_first_step(tmp_path: Path, tables: dict, why: str) -> None:
    given = settings(tmp_path).json()
    base = {"model": MODEL, "data": {"train": given["data"]["train"]}, "training": given["training"]}
    merged = {name: {**base.get(name, {}), **tables.get(name, {})} for name in {**base, **tables}}
    with pytest.raises(LongspanError, match=why):
        Run(settings_of(merged), tmp_path / "run")
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_padding_is_not_read(tmp_path: Path) -> None:
    """Rows of a task are as long as its examples, not as `training.length`."""
    wanted = settings(tmp_path, length=128, steps=3, data_train=[], data_task="reverse", data_longest=9)
    run = Run(wanted, tmp_path / "run")
    finish(run)
    batches = [run.reading.batch(step, 2) for step in range(3)]
    assert run.read == sum(int(batch.real.sum()) for batch in batches if batch.real is not None)
    assert run.read < 3 * 2 * 128


@pytest.mark.parametrize("plan", ["rope + bidirectional", "alibi + bidirectional"])
def test_an_encoder_learns_and_loads_back(tmp_path: Path, plan: str) -> None:
    wanted = settings(tmp_path, plan, objective="masked", hidden=0.3, steps=60, batch=4, rate=2e-2)
    run = Run(wanted, tmp_path / "run")
    finish(run)
    found = losses(tmp_path / "run")
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    batch = run.reading.batch(0, 2)
    with torch.no_grad():
        assert torch.equal(
            load(tmp_path / "run" / "model")(input_ids=batch.inputs).logits, run.model(input_ids=batch.inputs).logits
        )


@pytest.mark.parametrize("plan", ["rope", "alibi + bidirectional"])
def test_a_task_is_learned_after_its_inputs_and_a_kill_in_either_stage_changes_nothing(
    tmp_path: Path, plan: str
) -> None:
    given = {
        "model": MODEL,
        "design": {"plan": plan},
        "data": {"task": "copy", "tokenizer": "symbols", "longest": 6},
        "training": {"length": 32, "steps": 60, "batch": 8, "warmup": 2, "rate": 2e-2, "save_every": 4},
        "pretraining": {"steps": 6, "objective": "masked" if "bidirectional" in plan else "next"},
    }
    if "bidirectional" not in plan:
        with pytest.raises(InputError, match=r"pretraining\.objective 'masked' needs"):
            Run(settings_of({**given, "pretraining": {"steps": 6, "objective": "masked"}}), tmp_path / "refused")
    wanted = settings_of(given)
    finish(Run(wanted, tmp_path / "whole"))
    for kill in (5, 9):
        steps = Run(wanted, tmp_path / f"killed-{kill}").train()
        for _ in range(kill):
            next(steps)
        steps.close()
        finish(Run(wanted, tmp_path / f"killed-{kill}"))
        assert losses(tmp_path / f"killed-{kill}") == losses(tmp_path / "whole")
    found = losses(tmp_path / "whole")
    assert len(found) == 66
    assert sum(found[-5:]) < 0.9 * sum(found[6:11])
    rates = [json.loads(line)["rate"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert rates[0] == rates[6] == pytest.approx(0.01)  # each stage warms up by itself
