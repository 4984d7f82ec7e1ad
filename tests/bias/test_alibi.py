"""Outside sources: the slopes of the authors' code, transformers' BLOOM and MPT, x-transformers."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor
from x_transformers.x_transformers import AlibiPositionalBias

from longspan import attend, design
from longspan.bias.alibi import ALiBi, slopes

KEYS = 40


def bias(num_heads: int) -> torch.Tensor:
    place = torch.arange(KEYS)
    return ALiBi()(place[:, None] - place, torch.arange(num_heads)[:, None, None], num_heads, {})


@pytest.mark.parametrize(
    ("num_heads", "exponents"),
    [
        (3, [4, 8, 2]),
        (6, [2, 4, 6, 8, 1, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_published_slopes(num_heads: int, exponents: list[float]) -> None:
    assert slopes(num_heads).tolist() == pytest.approx([2**-e for e in exponents], rel=1e-15)


@pytest.mark.parametrize("num_heads", [1, 2, 3, 6, 8, 9, 12, 25])
def test_is_the_bias_of_x_transformers(num_heads: int) -> None:
    theirs = AlibiPositionalBias(num_heads)(KEYS, KEYS).double()
    torch.testing.assert_close(bias(num_heads), theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("num_heads", [3, 8, 12])
def test_is_the_bias_of_bloom_up_to_a_constant_per_row(num_heads: int) -> None:
    """BLOOM adds slope · j, which softmax cannot tell from −slope · (i − j)."""
    theirs = build_alibi_tensor(torch.ones(1, KEYS).long(), num_heads, torch.float64)
    difference = (bias(num_heads) - theirs).tril()
    row_constant = difference[..., :1] * torch.ones(KEYS, KEYS).tril()
    torch.testing.assert_close(difference, row_constant, rtol=0, atol=1e-5)


def test_is_the_bias_of_mpt_in_the_last_row() -> None:
    theirs = build_mpt_alibi_tensor(8, KEYS).double()
    torch.testing.assert_close(bias(8)[:, -1:], theirs)


def test_both_directions_are_punished_alike() -> None:
    assert torch.equal(bias(6), bias(6).mT)


def test_is_added_after_the_scale() -> None:
    """A model's own scale does not touch the penalty: with zero queries only the penalty is left."""
    query, key, value = torch.randn(3, 1, 2, 6, 8, dtype=torch.float64)
    plain = attend(0 * query, key, value, "alibi", scale=1e-3)
    torch.testing.assert_close(plain, attend(0 * query, key, value, "alibi", scale=1e3))
    torch.testing.assert_close(
        plain, bias(2)[:, :6, :6].masked_fill(torch.ones(6, 6).triu(1) > 0, -torch.inf).softmax(-1) @ value
    )


@pytest.mark.parametrize(("plan", "alike"), [("alibi", True), ("kerple_log", True), ("rope", False), ("t5", False)])
def test_left_and_right_look_alike_in_both_directions(plan: str, alike: bool) -> None:
    """R17: a model whose only positions are distances without a sign reads a reversed text as the reversed text."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    model: Any = design(LlamaForCausalLM(config).double().eval(), f"{plan} + bidirectional")
    for name, parameter in model.named_parameters():
        if "longspan" in name or "learned" in name:
            torch.nn.init.uniform_(parameter, 0.2, 0.8)
    ids = torch.randint(0, 50, (1, 20))
    with torch.no_grad():
        forward, backward = model(ids).logits, model(ids.flip(1)).logits.flip(1)
    assert torch.allclose(forward, backward, rtol=0, atol=1e-12) == alike
