"""Several processes make the losses of one, however they divide the work, and after any kill."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from longspan.compute.ring.sequence import Shared
from longspan.compute.ring.zigzag import Zigzag
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import load
from longspan.train.run import Run
from longspan.train.settings import settings_of
from small_runs import MODEL, texts
from training_processes import known, train_together

BOUND = 2e-6
"""The relative difference of losses that another order of sums may make in six steps. float32 rounds a sum to 6e-8 of
itself; AdamW divides each gradient by its own size, so that a small one passes its relative difference on whole. What
was seen is 2e-7."""
NORM_BOUND = 1e-5
"""The same for the norm of the gradient, which shows what AdamW hides: a gradient that is too large everywhere."""
STEPS, LENGTH, BATCH = 6, 16, 8
ENCODER = {
    "architecture": "modernbert", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "local_attention": 6,
}  # fmt: skip
"""A layer that sees everything and one that sees three tokens on either side."""
SCHEMES = ("rope", "alibi", "kerple_log", "rope + window(5, sinks=1)", "rerope(window=3)", "rope + key_norm", "xpos")


def tables(folder: Path, **given: dict[str, Any]) -> dict[str, Any]:
    """Six steps of eight rows."""
    training = {"length": LENGTH, "steps": STEPS, "batch": BATCH, "warmup": 2, "save_every": 2, "rate": 1e-2}
    data = {"train": [str(texts(folder / "texts"))]}
    found = {"model": dict(MODEL), "training": training, "data": data}
    if "architecture" in given.get("model", {}):
        del found["model"]["head_dim"]  # not every architecture has it
    return {name: {**found.get(name, {}), **given.get(name, {})} for name in {**found, **given}}


def short_documents(folder: Path) -> dict[str, Any]:
    """Texts of which rows are packed, and a few of which they are not."""
    folder.mkdir(exist_ok=True)
    for number in range(24):
        text = "abcdefghijklmnopqrstuvw" * 2 if number > 19 else "abcdefghi"[number % 7 :][: 2 + number % 5]
        (folder / f"{number:02}.txt").write_text(text)
    return {"train": [str(folder)]}


def drawn(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """Runs of other schemes, each with a division of its own."""
    draw = random.Random(ranks)
    jobs = []
    for number, scheme in enumerate(draw.sample(SCHEMES, 4)):
        training = {
            "accumulate": draw.choice([1, 2]),
            "average": draw.choice([0.0, 0.8]),
            "checkpointing": draw.choice([False, True]),
        }
        data = short_documents(folder / "short") if draw.random() < 0.5 else {}
        context, shards = draw.choice([1, ranks // 2, ranks]), draw.choice([1, 2, ranks])
        given = tables(folder, design={"plan": scheme}, training=training, data=data)
        given["parallel"] = {"context": context, "shards": shards}
        jobs.append({"ranks": ranks, "tables": given, "folder": str(folder / f"drawn-{ranks}-{number}")})
    return jobs


def jobs_of(folder: Path) -> dict[str, dict[str, Any]]:
    """All runs of this file, by name; one process forks the others, so that imports are paid once."""
    every = {Path(job["folder"]).name: job for ranks in (2, 4) for job in drawn(folder, ranks)}

    def add(name: str, ranks: int, given: dict[str, Any], **more: Any) -> None:
        every[f"{name}{more.pop('again', '')}"] = {
            "ranks": ranks, "tables": given, "folder": str(folder / name), **more,
        }  # fmt: skip

    sampled = {"plan": "rope", "positions": "random(span=64)", "absolute": "sinusoidal"}
    add("sampled", 4, tables(folder, design=sampled, parallel={"context": 2}))
    task = {"task": "copy", "tokenizer": "symbols", "longest": 6, "train": []}
    task_run = tables(folder, data=task, training={"length": 32}, parallel={"context": 2})
    add("task", 2, {**task_run, "data": task})
    add("filled in", 2, {**task_run, "data": task, "design": {"plan": "rope + bidirectional"}})
    hidden = tables(folder, training={"objective": "masked"}, design={"plan": "alibi + bidirectional"})
    add("masked", 2, {**hidden, "parallel": {"context": 2}})
    encoder = tables(folder, training={"objective": "masked"}, data=short_documents(folder / "short"))
    encoder |= {"model": {**ENCODER}, "design": {"plan": "rope + bidirectional"}}
    add("encoder", 2, {**encoder, "parallel": {"context": 2}})
    add("encoder shards", 2, {**encoder, "parallel": {"shards": 2}})
    add("tied", 2, tables(folder, model={"tie_word_embeddings": True}, parallel={"shards": 2}))
    codebook = tables(
        folder, design={"plan": "transformer_vq(codes=5, decay=0.7, beta=0.1)"}, training={"accumulate": 2}
    )
    add("codebook", 2, codebook)
    add("codebook shards", 2, {**codebook, "parallel": {"shards": 2}})
    mixers = tables(folder, design={"plan": "tile('AG', A=attention, G=gau)"}, training={"optimizer": "muon"})
    add("muon mixers", 2, {**mixers, "parallel": {"shards": 2}})
    add("muon", 2, tables(folder, training={"optimizer": "muon"}))
    add("muon shards", 2, tables(folder, training={"optimizer": "muon"}, parallel={"shards": 2}))
    killed = tables(folder, training={"average": 0.9}, parallel={"shards": 2, "context": 2})
    add("whole", 2, killed)
    add("killed", 2, killed, dies=[1, 5])
    add("killed", 2, killed, again=" again")
    add("moved", 2, killed, dies=[0, 4])
    add("moved", 4, {**killed, "parallel": {"shards": 4}}, again=" again")
    add("mixer", 2, tables(folder, design={"plan": "lru"}, parallel={"context": 2}))
    hybrid = {"architecture": "lfm2", "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}
    add("convolution", 2, tables(folder, model=hybrid, parallel={"context": 2}))
    add("several softmaxes", 2, tables(folder, design={"plan": "shaw"}, parallel={"context": 2}))
    add("uneven", 2, tables(folder, training={"length": 18}, parallel={"context": 2}))
    return every


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All runs, made."""
    folder = tmp_path_factory.mktemp("together")
    found = jobs_of(folder)
    train_together(list(found.values()), folder)
    return found


def logged(folder: Path, name: str = "loss") -> list[float]:
    return [json.loads(line)[name] for line in (folder / "log.jsonl").read_text().splitlines()]


def alone(job: dict[str, Any], tmp_path: Path) -> Run:
    """The same run in one process."""
    run = Run(settings_of({name: table for name, table in job["tables"].items() if name != "parallel"}), tmp_path)
    for _ in run.train():
        pass
    return run


@pytest.mark.parametrize(
    "name",
    [*(f"drawn-{ranks}-{number}" for ranks in (2, 4) for number in range(4)), "sampled", "task", "filled in", "masked",
     "encoder", "encoder shards", "tied", "codebook", "codebook shards"],
)  # fmt: skip
def test_losses_and_weights_are_those_of_one_process(jobs, name: str, tmp_path: Path) -> None:
    job = jobs[name]
    one, folder = alone(job, tmp_path), Path(job["folder"])
    found = known(folder, job["ranks"])
    assert logged(folder) == found[0]["losses"]
    assert all(each["losses"] == found[0]["losses"] for each in found)  # to the bit: they stop together, if they must
    assert found[0]["losses"] == pytest.approx(logged(tmp_path), rel=BOUND)
    assert logged(folder, "norm") == pytest.approx(logged(tmp_path, "norm"), rel=NORM_BOUND)
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        wanted, made = (load(place / "model")(input_ids=ids).logits for place in (tmp_path, folder))
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-2 * float(wanted.std()))
    shards = job["tables"].get("parallel", {}).get("shards", 1)
    size = sum(parameter.numel() for parameter in one.model.parameters())
    assert sum(each["held"] for each in found) == size * job["ranks"] // shards


def test_muon_makes_the_losses_of_one_process(jobs, tmp_path: Path) -> None:
    """Its iteration runs in bfloat16, which rounds to 4e-3: a gradient's last bit may move an update by as much."""
    for name in ("muon", "muon shards", "muon mixers"):
        alone(jobs[name], tmp_path / name)
        found = known(Path(jobs[name]["folder"]), 2)
        assert found[0]["losses"] == pytest.approx(logged(tmp_path / name), rel=1e-3)


def test_a_process_sends_what_its_neighbors_see_and_nothing_else(jobs, tmp_path: Path) -> None:
    """Keys and values forward; these again and their gradients backward: as much as the formula says, per layer."""
    seen = 0
    for name in (f"drawn-{ranks}-{number}" for ranks in (2, 4) for number in range(4)):
        job, context = jobs[name], jobs[name]["tables"]["parallel"]["context"]
        packed, again = "short" in job["tables"]["data"]["train"][0], job["tables"]["training"]["checkpointing"]
        if context == 1 or packed:
            continue
        seen += 1
        run = Run(settings_of({**job["tables"], "parallel": {}}), tmp_path / name)
        attachment = attachment_of(run.model)
        assert attachment is not None
        shared = Shared.contiguous(Zigzag(context, LENGTH))
        rows = BATCH * context // job["ranks"]
        each = 2 * rows * MODEL["num_key_value_heads"] * MODEL["head_dim"] * 4 * STEPS * MODEL["num_hidden_layers"]
        for rank, found in enumerate(known(Path(job["folder"]), job["ranks"])):
            scheme, own = attachment.plan.layer(0, 2), rank % context
            sent = shared.sent(scheme, own) * each
            gained = sum(
                len(shared.needed(scheme, own, other)) * shared.zigzag.size * each
                for other in range(context)
                if other != own
            )
            assert found["sent"] == {"forward": (3 if again else 2) * sent, "backward": gained}, (name, rank)
    assert seen


@pytest.mark.parametrize("name", ["killed", "moved"])
def test_a_run_whose_process_was_killed_goes_on(jobs, name: str) -> None:
    """To the bit among as many processes, and to rounding among others."""
    job, again, whole = jobs[name], jobs[f"{name} again"], Path(jobs["whole"]["folder"])
    assert job["dies"] is not None
    found = known(Path(again["folder"]), again["ranks"])
    made = STEPS - len(found[0]["losses"])
    assert made in (2, 4)  # the last state before the kill
    if name == "killed":
        assert logged(Path(job["folder"])) == logged(whole)
        first, second = (load_file(place / "model" / "model.safetensors") for place in (Path(job["folder"]), whole))
        assert all(torch.equal(first[each], second[each]) for each in first)
    assert logged(Path(job["folder"])) == pytest.approx(logged(whole), rel=BOUND)


def test_what_cannot_share_a_sequence_is_refused_in_every_process(jobs) -> None:
    reasons = {
        "mixer": "lru reads its tokens one after the other",
        "convolution": "Lfm2ForCausalLM lets tokens see each other outside of plain attention",
        "several softmaxes": "shaw is more than one softmax",
        "uneven": "must be a multiple of 4",
    }
    for name, why in reasons.items():
        assert all(why in each["refused"] for each in known(Path(jobs[name]["folder"]), 2)), name


def test_division_needs_the_processes_that_it_divides(tmp_path: Path) -> None:
    from longspan.errors import InputError
    from longspan.train.processes.group import check_shares
    from longspan.train.tables import ParallelTable

    with pytest.raises(InputError, match=r"context is 2 and this is one process: start torchrun"):
        Run(settings_of(tables(tmp_path, parallel={"context": 2})), tmp_path / "run")
    with pytest.raises(InputError, match=r"parallel\.shards must divide the 4 processes, got 3"):
        check_shares(ParallelTable(shards=3), 4, 8)
    with pytest.raises(InputError, match=r"must be a multiple of 4, one row for each group of processes, got 6"):
        check_shares(ParallelTable(context=2), 8, 6)
