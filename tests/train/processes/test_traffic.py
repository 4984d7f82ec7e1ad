"""Bytes that a process sends: the closed form of weights and gradients beside what PyTorch is asked to move."""

from pathlib import Path
from typing import Any

import pytest

from small_runs import MODEL, texts
from training_processes import known, train_together

STEPS = 2


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Runs that share weights in several ways; 258 rows of the embeddings are no multiple of 4."""
    folder = tmp_path_factory.mktemp("traffic")
    training = {"length": 16, "steps": STEPS, "batch": 8, "accumulate": 2}
    data = {"train": [str(texts(folder / "texts"))]}
    codebook = "transformer_vq(codes=5)"  # weights without a gradient

    def job(name: str, ranks: int, shards: int, plan: str = "kerple_log", **model: Any) -> dict[str, Any]:
        given = {"model": MODEL | model, "training": training, "data": data, "design": {"plan": plan}}
        return {
            "ranks": ranks, "counted": True, "folder": str(folder / name),
            "tables": {**given, "parallel": {"shards": shards}},
        }  # fmt: skip

    every = {
        "replicated": job("replicated", 2, 1),
        "sharded": job("sharded", 2, 2, codebook),
        "replicas of shards": job("replicas", 4, 2, tie_word_embeddings=True),
        "uneven": job("uneven", 4, 4),
    }
    train_together(list(every.values()), folder)
    return every


@pytest.mark.parametrize("name", ["replicated", "sharded", "replicas of shards", "uneven"])
def test_a_process_sends_what_the_closed_form_says(jobs: dict[str, dict[str, Any]], name: str) -> None:
    job = jobs[name]
    for found in known(Path(job["folder"]), job["ranks"]):
        assert found["traffic"]["gradients"] > 0
        assert (found["traffic"]["weights"] > 0) == (name != "replicated")
        assert found["counted"] == pytest.approx({each: STEPS * sent for each, sent in found["traffic"].items()})
