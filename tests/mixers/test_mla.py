"""Outside source: DeepSeek V2's attention of transformers, without a latent of queries as in V2-Lite."""

from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DeepseekV2Config, DeepseekV2Model

from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.mla import MLA
from mixers.by_formula import mixed

HEADS, WIDTH, LATENT, ROTARY, TOKENS = 4, 8, 12, 4, 11


def test_is_deepseeks_attention() -> None:
    """DeepSeek pairs neighbouring channels where ours pairs halves, so that rows of its projections change places."""
    mixer, hidden = MLA(LATENT, ROTARY), HEADS * WIDTH
    weights, x = mixer.initial_weights(HEADS, WIDTH, torch.Generator().manual_seed(0)), torch.randn(2, TOKENS, hidden)
    weights["norm"] = weights["norm"] + torch.rand(LATENT)
    config = DeepseekV2Config(
        hidden_size=hidden, num_attention_heads=HEADS, num_key_value_heads=HEADS, kv_lora_rank=LATENT, q_lora_rank=None,
        qk_nope_head_dim=WIDTH, qk_rope_head_dim=ROTARY, v_head_dim=WIDTH, head_dim=ROTARY, num_hidden_layers=1,
        intermediate_size=8, first_k_dense_replace=1, vocab_size=9, n_routed_experts=2, moe_intermediate_size=8,
    )  # fmt: skip
    model: Any = DeepseekV2Model(config).eval()
    layer, pairs = model.layers[0].self_attn, torch.arange(ROTARY).view(2, -1).T.flatten()
    with torch.no_grad():
        query = torch.cat([weights["query"], weights["query_rotary"][:, pairs]], 1)
        layer.q_proj.weight.copy_(query.flatten(0, 1))
        layer.kv_a_proj_with_mqa.weight.copy_(torch.cat([weights["down"], weights["key_rotary"][pairs]]))
        layer.kv_a_layernorm.weight.copy_(weights["norm"])
        layer.kv_b_proj.weight.copy_(torch.cat([weights["up_key"], weights["up_value"]], 1).flatten(0, 1))
        layer.o_proj.weight.copy_(weights["out"].flatten(1))
        angles = model.rotary_emb(x, torch.arange(TOKENS)[None])
        mask = torch.zeros(TOKENS, TOKENS).masked_fill(torch.ones(TOKENS, TOKENS).tril() == 0, -1e30)[None, None]
        wanted, _ = layer(hidden_states=x, position_embeddings=angles, attention_mask=mask)
    torch.testing.assert_close(mix(x, mixer, weights)[0], wanted, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 20), st.sampled_from([2, 4]), st.integers(1, 12), st.integers(0, 100))
def test_all_forms_are_one_function(latent: int, rotary: int, tokens: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = MLA(latent, rotary).initial_weights(2, 4, generator)
    weights = {name: value.double() for name, value in weights.items()}
    x = torch.randn(2, tokens, 8, generator=generator, dtype=torch.float64)
    forms: tuple[Literal["auto", "expanded", "absorbed", "merged"], ...] = ("auto", "expanded", "absorbed", "merged")
    found = [mixed(x, MLA(latent, rotary, form), weights) for form in forms]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-11, atol=1e-12)


def test_the_cache_has_one_latent_and_one_rotary_key() -> None:
    mixer = MLA()
    _, state = mix(torch.randn(1, 10, 32), mixer, mixer.initial_weights(4, 8), output_final_state=True)
    assert state is not None
    assert state.nbytes == 10 * (4 * 8 + 8 // 2) * 4


@pytest.mark.parametrize(("settings", "reason"), [({"rotary": 3}, "even"), ({"latent": 0}, "at least 1")])
def test_what_has_no_meaning_is_refused(settings: dict, reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        MLA(**settings)
