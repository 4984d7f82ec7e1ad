"""Architectures that designs are trained on: those that need care, and those that are refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longspan.errors import LongspanError
from longspan.measure.models.model import LoadedModel
from longspan.pretrained.storing.save import load
from longspan.train.run import Run
from longspan.train.settings import settings_of
from small_runs import MODEL, texts

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "smollm3": {**SIZES, "num_key_value_heads": 1},  # one of four layers does not rotate
    "cohere": {**SIZES, "logit_scale": 1.0},  # what would change logits after the head changes nothing
    "gpt_neox": SIZES,  # a part of the channels rotates
}
"""Fields by architecture."""


def run(folder: Path, architecture: str, fields: dict[str, Any], plan: str = "kerple_log", **training: Any) -> Run:
    given = {"length": 16, "steps": 2, "batch": 2, **training}
    data = {"train": [str(texts(folder / "texts"))]}
    tables = {"model": {"architecture": architecture, **fields}, "design": {"plan": plan}, "data": data}
    return Run(settings_of({**tables, "training": given}), folder / "run")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_is_trained_and_loads_back(tmp_path: Path, architecture: str) -> None:
    made = run(tmp_path, architecture, ARCHITECTURES[architecture])
    for _ in made.train():
        pass
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        wanted = made.model(input_ids=ids).logits
        assert torch.equal(load(tmp_path / "run" / "model")(input_ids=ids).logits, wanted)


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("modernbert", "no causal language model of 'modernbert'; an encoder is a causal architecture with a plan"),
        ("t5", "no causal language model of 't5'"),
        ("bert", "has no rotary position embedding"),
        ("cohere", "more between its layers and its logits than a head"),  # logit_scale is 0.0625 there
        ("modernbert-decoder", "more between its layers and its logits than a head"),  # and no token may be None
    ],
)
def test_an_architecture_that_cannot_be_trained_is_one_line(tmp_path: Path, architecture: str, why: str) -> None:
    with pytest.raises(LongspanError, match=why) as found:
        run(tmp_path, architecture, {} if architecture in ("t5", "bert") else SIZES)
    assert "\n" not in str(found.value)


def test_a_model_that_sees_later_tokens_is_not_measured_as_one_that_predicts_them(tmp_path: Path) -> None:
    made = run(tmp_path, "llama", MODEL, "rope + bidirectional", objective="masked")
    for _ in made.train():
        pass
    with pytest.raises(LongspanError, match="sees the tokens that it would have to predict"):
        LoadedModel.load(str(tmp_path / "run" / "model"), "float32")
