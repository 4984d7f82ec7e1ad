"""A trained design in a folder: saved, loaded, extended, damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from longspan.errors import RefusalError
from longspan.pretrained.attach import design, extend
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import load, save
from tiny import llama

TOKENS = torch.arange(40)[None] % 50


def trained(text: str):
    """A model whose learned numbers are not those of the start."""
    model = design(llama(50), text).eval()
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".longspan." in name:
            parameter.data += torch.rand_like(parameter)
    return model


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


@pytest.mark.parametrize("text", ["rope", "nope", "kerple_log", "t5", "shaw", "rope + urpe", "hwfa", "rope + key_norm"])
def test_a_design_comes_back_to_the_bit(tmp_path: Path, text: str) -> None:
    model = trained(text)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(logits(again), logits(model))
    assert attachment_of(again).text == attachment_of(model).text  # type: ignore[union-attr]


def test_transformers_loads_the_design_of_an_architecture_and_refuses_others(tmp_path: Path) -> None:
    """Frequencies that its config does not name are no exception."""
    own, other = trained("rope"), trained("linear(factor=2)")
    save(own, tmp_path / "own")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "own").eval()), logits(own))
    assert "runs the model; longspan is not needed" in (tmp_path / "own" / "README.md").read_text()
    save(other, tmp_path / "other")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "other").eval()
    with pytest.raises(RefusalError, match="LlamaAttention has no extension"):
        logits(theirs)
    assert torch.equal(logits(load(tmp_path / "other")), logits(other))


def test_an_extension_of_a_design_comes_back_too(tmp_path: Path) -> None:
    model = extend(trained("kerple_log"), "window(16)", length=128)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(logits(again), logits(model))
    assert attachment_of(again).text == "kerple_log + window(size=16)"  # type: ignore[union-attr]


def test_stock_weights_are_those_of_the_architecture(tmp_path: Path) -> None:
    save(trained("kerple_log"), tmp_path / "model")
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True, attn_implementation="sdpa"
    )
    _, report = loaded
    assert not any(report.values())
    assert "do not know the design" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize("damage", ["missing", "fewer", "other"])
def test_learned_numbers_that_do_not_fit_are_refused(tmp_path: Path, damage: str) -> None:
    save(trained("kerple_log"), tmp_path / "model")
    path = tmp_path / "model" / "learned.safetensors"
    tensors = load_file(path)
    path.unlink()
    if damage == "fewer":
        save_file(dict(list(tensors.items())[1:]), path)
    if damage == "other":
        save_file({name: value.repeat(2) for name, value in tensors.items()}, path)
    with pytest.raises(RefusalError, match="do not belong together"):
        load(tmp_path / "model")


@pytest.mark.parametrize("field", [{"version": 2, "plan": "rope"}, {"version": 1, "plan": 3}, "alibi"])
def test_a_design_that_was_not_written_here_is_refused(tmp_path: Path, field: object) -> None:
    save(trained("alibi"), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_design": field}))
    with pytest.raises(RefusalError, match="trained_design"):
        load(tmp_path / "model")
