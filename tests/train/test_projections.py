"""`linear` in the table [model]: projections that are trained, killed, loaded and refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from longspan.errors import LongspanError
from longspan.pretrained.linear import StructuredLinear
from longspan.pretrained.storing.save import load
from longspan.train.run import Run
from small_runs import settings

PLANS = ("rope", "kerple_log", "tile('MA', M=retnet, A=rope)")


@pytest.mark.parametrize("plan", PLANS)
def test_monarch_projections_are_trained_killed_and_loaded_as_they_are(tmp_path: Path, plan: str) -> None:
    wanted = settings(tmp_path, plan, model_linear="monarch", steps=40, batch=4, rate=2e-2)
    dense = Run(settings(tmp_path, plan), tmp_path / "dense")
    whole = Run(wanted, tmp_path / "whole")
    assert whole.parameters < 0.9 * dense.parameters
    steps = [step.loss for step in whole.train()]
    assert sum(steps[-5:]) < 0.9 * sum(steps[:5])
    killed = Run(wanted, tmp_path / "killed").train()
    for _ in range(22):
        next(killed)
    killed.close()
    again = Run(wanted, tmp_path / "killed")
    for _ in again.train():
        pass
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        logits = whole.model(input_ids=ids).logits
        assert torch.equal(again.model(input_ids=ids).logits, logits)
        loaded = load(tmp_path / "whole" / "model")
        assert torch.equal(loaded(input_ids=ids).logits, logits)
    said = json.loads((tmp_path / "whole" / "run.json").read_text())["settings"]["model"]
    assert said["linear"] == "monarch"
    assert any(isinstance(module, StructuredLinear) for module in loaded.modules())


def test_all_projections_inside_the_layers_are_structured_and_the_head_is_not(tmp_path: Path) -> None:
    model = Run(settings(tmp_path, "rope", model_linear="monarch(blocks=2)"), tmp_path / "run").model
    assert not any(type(module) is nn.Linear for module in model.model.modules())
    assert sum(isinstance(module, StructuredLinear) for module in model.model.modules()) == 2 * 7
    assert type(model.lm_head) is nn.Linear


@pytest.mark.parametrize(
    ("linear", "why"),
    [
        ("monarch(blocks=5)", "5 blocks do not divide a layer of 16 inputs"),
        ("monarch(blocks=0)", "blocks must be at least 1, got 0"),
        ("butterfly", "unknown projection beside dense 'butterfly'"),
        (3, "model.linear must be str, got 3"),
    ],
)
def test_what_cannot_be_a_projection_is_refused_before_the_first_step(tmp_path: Path, linear: str, why: str) -> None:
    with pytest.raises(LongspanError, match=why.replace("(", r"\(")) as error:
        Run(settings(tmp_path, "rope", model_linear=linear), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
