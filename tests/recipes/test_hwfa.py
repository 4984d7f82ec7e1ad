"""HWFA: the article's window rule, and what each layer sees."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from longspan import design, parse
from longspan.errors import SchemeError
from longspan.mask.window import Window
from longspan.recipes.hwfa import hwfa


def test_the_window_of_the_article() -> None:
    """24 layers at 512: at most 17. The article took 16, which reaches 0.676 of the trained length."""
    assert hwfa(24, 512).layer(0, 24) == parse("rope + window(17)")
    assert (17 - 1) * 23 + 1 <= 0.75 * 512 < (18 - 1) * 23 + 1
    assert pytest.approx(0.676, abs=5e-4) == ((16 - 1) * 23 + 1) / 512


@pytest.mark.parametrize(("num_layers", "trained_length"), [(2, 64), (5, 100), (12, 1024), (32, 4096)])
def test_the_window_is_the_largest_that_the_rule_allows(num_layers: int, trained_length: int) -> None:
    window = hwfa(num_layers, trained_length).layer(0, num_layers).mask
    assert isinstance(window, Window)
    assert window.size
    assert (window.size - 1) * (num_layers - 1) + 1 <= 0.75 * trained_length
    assert window.size * (num_layers - 1) + 1 > 0.75 * trained_length


def test_layers() -> None:
    plan = hwfa(4, 512, window=16)
    assert [plan.layer(i, 4) for i in range(3)] == 3 * [parse("rope + window(16)")]
    assert plan.layer(3, 4) == parse("nope + log_length(512, form=training)")


def test_refusals() -> None:
    with pytest.raises(SchemeError, match="hwfa needs 2 … 65536 layers, got 1"):
        hwfa(1, 512)
    with pytest.raises(SchemeError, match="size must be at least 1"):
        hwfa(4, 8, alpha=0.0)


def test_a_far_token_acts_through_the_last_layer_only() -> None:
    """R12: what lies beyond (window − 1) · (layers − 1) tokens is not there once the full layer adds nothing."""
    layers, window, tokens = 3, 4, 24
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=2
    )
    model: Any = design(LlamaForCausalLM(config).double().eval(), hwfa(layers, tokens, window=window))
    ids = torch.randint(1, 50, (1, tokens))
    changed = ids.clone()
    changed[0, tokens - 2 - (window - 1) * (layers - 1)] = 0  # the nearest token that windows cannot reach

    @torch.no_grad()
    def last(of: torch.Tensor) -> torch.Tensor:
        return model(of).logits[0, -1]

    assert not torch.equal(last(ids), last(changed))
    torch.nn.init.zeros_(model.model.layers[-1].self_attn.o_proj.weight)
    assert torch.equal(last(ids), last(changed))
    changed[0, tokens - 1 - (window - 1) * (layers - 1)] = 0  # the farthest that they reach
    assert not torch.equal(last(ids), last(changed))
