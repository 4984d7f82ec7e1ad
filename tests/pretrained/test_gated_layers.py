"""Layers that are a gated unit alone, without a feed-forward network, as GAU's paper has them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import longspan
from longspan.compute.mix import mix
from longspan.errors import RefusalError
from longspan.mixers.gau import GAU
from longspan.mixers.gau_alpha import GAUAlpha
from longspan.pretrained.mixing import mixer_modules, remove_feed_forward

IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "eos_token_id": None,
}


def untrained(layers: int = 2) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **SIZES)).double().eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_a_stack_of_gau_alpha_is_the_models_chain_of_blocks() -> None:
    """x ← norm(x + GAU(x)), block after block, from normed embeddings on, as the authors' code does."""
    model = longspan.design(untrained(3), "gau_alpha(feed_forward=False)")
    model.model.embed_tokens.weight.data = torch.nn.functional.rms_norm(model.model.embed_tokens.weight.data, (32,))
    x = model.model.embed_tokens(IDS)
    for module in mixer_modules(model):
        x = x + mix(x, GAUAlpha(), module.weights)[0]
        torch.testing.assert_close(x.square().mean(-1), torch.ones(2, 12).double())
    torch.testing.assert_close(logits(model), model.lm_head(x), rtol=1e-5, atol=1e-6)  # norms have an ε of 1e-6


@pytest.mark.parametrize("name", ["gau", "flash(chunk=4)", "transformer_vq(codes=4)"])
def test_the_plan_says_so_and_a_folder_keeps_it(name: str, tmp_path: Path) -> None:
    plan = name.replace(")", ", feed_forward=False)") if "(" in name else f"{name}(feed_forward=False)"
    model = longspan.design(untrained(), f"tile('GA', G={plan}, A=rope)", seed=2)
    assert not any(".mlp." in key for key in model.state_dict() if ".layers.0." in key)
    assert any(".mlp." in key for key in model.state_dict() if ".layers.1." in key)
    longspan.save(model, tmp_path / "model")
    assert torch.equal(logits(longspan.load(tmp_path / "model")), logits(model))
    beside = longspan.design(untrained(), f"tile('GA', G={name}, A=rope)", seed=2)
    with torch.no_grad():
        for layer in beside.model.layers[:1]:
            layer.mlp.down_proj.weight.zero_()
    torch.testing.assert_close(logits(beside), logits(model))


def test_two_of_them_have_the_numbers_of_a_layer() -> None:
    """3 d · 2d each, against 4 d² of attention and 8 d² of a feed-forward network of 8 d / 3 with three matrices."""

    def numbers(model: Any) -> int:
        return sum(parameter.numel() for parameter in model.model.layers.parameters())

    sizes: dict[str, Any] = SIZES | {"hidden_size": 96, "intermediate_size": 256}
    plain = LlamaForCausalLM(LlamaConfig(num_hidden_layers=1, **sizes))
    gated = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **sizes))
    found = numbers(longspan.design(gated, "gau(feed_forward=False)"))
    assert found == pytest.approx(numbers(plain), rel=0.06)  # γ, β and one shared projection to a head more


class Pair(nn.Linear):
    """A network that returns more than numbers, as one with experts may."""

    def forward(self, input: torch.Tensor) -> Any:
        return super().forward(input), None


@pytest.mark.parametrize("network", [None, Pair(8, 8)])
def test_a_layer_without_such_a_network_is_refused(network: nn.Module | None) -> None:
    layer = nn.Module()
    if network is not None:
        layer.add_module("mlp", network)
    with pytest.raises(RefusalError, match="leave feed_forward=False out of gau") as error:
        remove_feed_forward(layer, GAU(feed_forward=False), 8)
    assert "\n" not in str(error.value)
    assert layer._modules.get("mlp") is network
