"""Structured projections of a model: what they compute, and who may read a folder that has them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import longspan
from longspan.errors import RefusalError, ShapeError
from longspan.pretrained.linear import StructuredLinear
from longspan.pretrained.running.attention import IMPLEMENTATION

IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "eos_token_id": None,
}


def untrained(kind: Any = LlamaForCausalLM, config: Any = LlamaConfig) -> Any:
    torch.manual_seed(0)
    return kind(config(**SIZES)).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_is_the_model_whose_matrices_are_written_out() -> None:
    """Qwen 2 has biases, which stay where they are."""
    model = longspan.design(untrained(Qwen2ForCausalLM, Qwen2Config), "rope", linear="monarch", seed=1)
    plain = untrained(Qwen2ForCausalLM, Qwen2Config)
    for name, module in model.named_modules():
        if isinstance(module, StructuredLinear):
            layer = plain.get_submodule(name)
            assert layer.weight.shape == module.weight.shape
            with torch.no_grad():
                layer.weight.copy_(module.weight)
                if layer.bias is not None:
                    layer.bias.normal_()
                    module.bias.copy_(layer.bias)
    torch.testing.assert_close(logits(model), logits(plain))


def test_matrices_start_with_the_spread_of_the_dense_ones() -> None:
    for spread in (0.02, 0.5):
        layer = nn.Linear(96, 64)
        nn.init.normal_(layer.weight, std=spread)
        made = StructuredLinear(layer, 4, torch.Generator().manual_seed(0))
        assert float(made.weight.detach().std()) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("plan", ["rope", "linear(factor=2)"])
def test_a_folder_returns_the_model_and_others_refuse_it(plan: str, tmp_path: Path) -> None:
    """Stock loaders could read the frequencies of the second plan, and not the matrices."""
    model = longspan.design(untrained(), plan, linear="monarch(blocks=2)")
    longspan.save(model, tmp_path / "model")
    assert not any("proj" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
    loaded = longspan.load(tmp_path / "model")
    assert torch.equal(logits(loaded), logits(model))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["attn_implementation"] == IMPLEMENTATION  # which transformers without longspan does not have
    assert "monarch(blocks=2)" in (tmp_path / "model" / "README.md").read_text()


def test_an_extension_and_absolute_positions_beside_it(tmp_path: Path) -> None:
    model = longspan.design(untrained(), "rope", linear="monarch")
    plain = logits(model)
    longspan.extend(model, "rerope(window=4)")
    assert not torch.allclose(logits(model), plain)
    longspan.save(model, tmp_path / "extended")
    assert torch.equal(logits(longspan.load(tmp_path / "extended")), logits(model))
    assert torch.equal(logits(longspan.detach(model)), plain)
    added = longspan.design(untrained(), "nope", absolute="sinusoidal", linear="monarch")
    longspan.save(added, tmp_path / "added")
    assert torch.equal(logits(longspan.load(tmp_path / "added")), logits(added))


def test_generation_with_a_cache_is_generation_without(tmp_path: Path) -> None:
    model = longspan.design(untrained(), "rope", linear="monarch")
    found = [model.generate(IDS, max_new_tokens=6, do_sample=False, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*found)


def test_blocks_that_divide_no_layer_leave_the_model_as_it_was() -> None:
    model = untrained()
    with pytest.raises(ShapeError, match="3 blocks do not divide a layer of 32 inputs and 32 outputs"):
        longspan.design(model, "rope", linear="monarch(blocks=3)")
    assert model.state_dict().keys() == untrained().state_dict().keys()
    longspan.design(model, "rope")  # it carries no plan


def test_a_newer_design_is_refused(tmp_path: Path) -> None:
    model = longspan.design(untrained(), "rope", linear="monarch")
    longspan.save(model, tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"version": 3', '"version": 4'))
    with pytest.raises(RefusalError, match="must have a version from 1 to 3"):
        longspan.load(tmp_path / "model")
