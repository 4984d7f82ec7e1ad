"""Outside sources: Llama's attention of transformers; heads written out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaModel

from longspan.compute.mix import initial_state, mix
from longspan.errors import SchemeError
from longspan.mixers.attention import Attention
from mixers.by_formula import drawn, mixed, text


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_is_llamas_attention(groups: int) -> None:
    mixer = Attention(groups=groups)
    weights, x = mixer.initial_weights(4, 8, torch.Generator().manual_seed(0)), torch.randn(2, 11, 32)
    config = LlamaConfig(
        hidden_size=32, num_attention_heads=4, num_key_value_heads=4 // groups, num_hidden_layers=1,
        intermediate_size=8, vocab_size=9,
    )  # fmt: skip
    model: Any = LlamaModel(config).eval()
    layer = model.layers[0].self_attn
    with torch.no_grad():
        for name in ("query", "key", "value"):
            getattr(layer, f"{name[0]}_proj").weight.copy_(weights[name].flatten(0, 1))
        layer.o_proj.weight.copy_(weights["out"].flatten(1))
        angles = model.rotary_emb(x, torch.arange(11)[None])
        mask = torch.zeros(11, 11).masked_fill(torch.ones(11, 11).tril() == 0, -1e30)[None, None]
        wanted, _ = layer(hidden_states=x, position_embeddings=angles, attention_mask=mask)
    torch.testing.assert_close(mix(x, mixer, weights)[0], wanted, rtol=1e-5, atol=1e-5)


@given(st.sampled_from([(4, 2), (4, 4), (6, 3)]))
def test_groups_are_repeated_heads(sizes: tuple[int, int]) -> None:
    heads, groups = sizes
    weights = Attention(groups=groups).initial_weights(heads, 4, torch.Generator().manual_seed(0))
    weights = {name: value.double() for name, value in weights.items()}
    repeated = weights | {name: weights[name].repeat_interleave(groups, 0) for name in ("key", "value")}
    x = torch.randn(2, 9, heads * 4, dtype=torch.float64)
    found, wanted = mixed(x, Attention(groups=groups), weights), mixed(x, Attention(), repeated)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_cache_has_two_vectors_per_key_head(groups: int) -> None:
    mixer = Attention(groups=groups)
    weights = mixer.initial_weights(4, 8)
    _, state = mix(torch.randn(1, 10, 32), mixer, weights, output_final_state=True)
    assert state is not None
    assert state.nbytes == 10 * 2 * (4 // groups) * 8 * 4
    assert initial_state(mixer, 1, weights).nbytes == 0


def test_nearest_neighbours_are_the_largest_scores() -> None:
    """Written out without rotation: all but the three largest scores of each row vanish."""
    mixer = Attention(scheme="nope + top_k(k=3)")
    weights, x = drawn(mixer), text()
    query, key, value = (torch.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(
        torch.ones(x.shape[1], x.shape[1]).tril() == 0, -1e30
    )
    least = scores.sort(-1, descending=True).values[..., 2:3]
    matrix = scores.masked_fill(scores < least, -1e30).softmax(-1)
    wanted = torch.einsum("bhtk,dhk->btd", matrix @ value, weights["out"])
    torch.testing.assert_close(mixed(x, mixer, weights), wanted, rtol=1e-9, atol=1e-9)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SchemeError, match="groups must divide the heads, got 3 for 4"):
        Attention(groups=3).initial_weights(4, 8)
    with pytest.raises(SchemeError, match="learns"):
        Attention(scheme="kerple_log").initial_weights(4, 8)
