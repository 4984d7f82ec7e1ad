"""Observations against models with weights: their buffers, their caches, and which of their layers rotate."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from longspan.audit.watching.observation import Observation, observe
from longspan.errors import RefusalError
from pretrained.families import small_config, small_model

LENGTHS = (5, 40, 100)
CACHED = (
    "llama", "gpt_neox", "qwen2", "falcon_h1", "gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "gpt_oss",
    "mistral", "deepseek_v3", "minicpm3", "kimi_linear", "qwen3_next", "lfm2_moe", "bamba", "mimo_v2_flash",
    "llama4_text", "falcon", "cohere2", "smollm3", "zamba2", "deepseek_v32", "dots3_note_text",
)  # fmt: skip
"""Every geometry of a cache that families have: all heads, grouped, one; latents; windows and chunks; recurrent states;
layers that share; sizes that differ between layer types; indexers."""


def held_in(cache: Any) -> int:
    """Bytes of every number that a cache of transformers holds."""

    def tensors(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point():
                yield value
        elif isinstance(value, dict):
            for inner in value.values():
                yield from tensors(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from tensors(inner)

    found = {id(tensor): tensor for layer in cache.layers for tensor in tensors(list(vars(layer).values()))}
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


@pytest.mark.parametrize("model_type", CACHED)
def test_the_cache_is_as_large_as_that_of_a_real_model(model_type: str) -> None:
    """An outside source: transformers' own cache after reading so many tokens with random weights."""
    config = small_config(model_type)
    config.dtype = torch.float32
    observed = observe(config)
    model = small_model(model_type)
    for length in LENGTHS:
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            model(input_ids=torch.ones(1, length, dtype=torch.long), past_key_values=cache, use_cache=True)
        assert sum(held.bytes_at(length) for held in observed.cache) == held_in(cache), length


@pytest.mark.parametrize(
    "model_type", ["llama", "gemma3_text", "gpt_oss", "apertus", "deepseek_v2", "llama4_text", "phi"]
)
def test_frequencies_are_those_of_a_model_with_weights(model_type: str) -> None:
    model = small_model(model_type)
    buffers = {
        tuple(buffer.double().tolist())
        for name, buffer in model.named_buffers()
        if name.endswith("inv_freq") and "original" not in name
    }
    assert {rotation.frequencies for rotation in observe(model.config).rotations} == buffers


def layers_that_rotate(observed: Observation) -> list[bool]:
    return [layer.rotates for layer in observed.layers]


def test_layers_without_rotation_are_seen() -> None:
    """SmolLM 3 and Llama 4 rotate some, Cohere 2 those with a window."""
    smollm = small_config("smollm3")
    assert layers_that_rotate(observe(smollm)) == [bool(flag) for flag in smollm.no_rope_layers]
    assert layers_that_rotate(observe(small_config("llama4_text"))).count(False) == 2
    cohere = observe(small_config("cohere2"))
    assert all(layer.rotates == (layer.window is not None) for layer in cohere.layers)


def test_layers_are_rotated_by_the_frequencies_of_their_type() -> None:
    observed = observe(small_config("gemma3_text"))
    for rotation in observed.rotations:
        assert {observed.layers[number].kind for number in rotation.layers} == {rotation.layer_type}


def test_the_weights_of_one_token() -> None:
    """Llama's closed form: four projections, three of the feed-forward part, and the head."""
    config = AutoConfig.for_model("llama", hidden_size=64, intermediate_size=100, num_hidden_layers=3, vocab_size=50)
    assert observe(config).weights == 3 * (4 * 64**2 + 3 * 64 * 100) + 50 * 64


def test_a_token_is_multiplied_by_the_experts_it_is_sent_to() -> None:
    many, few = (small_config("mixtral") for _ in range(2))
    many.num_local_experts, many.num_experts_per_tok = 8, 2
    few.num_local_experts, few.num_experts_per_tok = 2, 2
    router = few.num_hidden_layers * few.hidden_size
    assert observe(many).weights - 8 * router == observe(few).weights - 2 * router


def test_dynamic_frequencies_change_beyond_the_promised_length() -> None:
    config = small_config("llama")
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    (rotation,) = observe(config).rotations
    assert rotation.changes[0][0] == 64
    assert rotation.at(32) == rotation.frequencies
    assert rotation.at(64) != rotation.frequencies


def test_a_model_is_built_without_memory() -> None:
    """Seventy billion weights, of which none exists."""
    config = AutoConfig.for_model(
        "llama", hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
        num_key_value_heads=8, max_position_embeddings=131072, vocab_size=128256,
    )  # fmt: skip
    observed = observe(config)
    assert observed.weights == pytest.approx(69.5e9, rel=0.01)
    assert sum(held.bytes_at(131072) for held in observed.cache) == 80 * 2 * 8 * 128 * 131072 * 2


def test_a_config_that_makes_no_model_is_refused() -> None:
    config = small_config("llama")
    config.rope_parameters = {"rope_type": "sideways", "rope_theta": 1e4}
    with pytest.raises(RefusalError, match="transformers cannot build the model"):
        observe(config)


def test_the_config_stays_as_it_was() -> None:
    config = small_config("gemma3_text")
    before = config.to_dict()
    observe(config)
    assert config.to_dict() == before


PAIRS = 8
FOLLOWING: dict[str, dict[str, Any]] = {
    "dynamic": {"factor": 3.0},
    "longrope": {
        "factor": 4.0,
        "original_max_position_embeddings": 300,
        "short_factor": [1.0 + 0.1 * pair for pair in range(PAIRS)],
        "long_factor": [1.0 + 0.5 * pair for pair in range(PAIRS)],
    },
}


def following(kind: str) -> Any:
    config = small_config("llama")
    config.max_position_embeddings = 1200 if kind == "longrope" else 300
    config.rope_parameters = {"rope_type": kind, "rope_theta": 1e4, **FOLLOWING[kind]}
    return config


@given(st.sampled_from(sorted(FOLLOWING)), st.lists(st.integers(1, 5000), min_size=1, max_size=4))
@settings(max_examples=10)
def test_the_frequencies_at_a_length_are_those_of_a_call_of_that_length(kind: str, lengths: list[int]) -> None:
    """In any order: transformers' dynamic scaling keeps the longest, and an observation does not."""
    (rotation,) = observe(following(kind)).rotations
    for length in lengths:
        module = AutoModelForCausalLM.from_config(following(kind)).model.rotary_emb
        module(torch.zeros(1, 1, 8), torch.arange(length)[None])
        assert rotation.at(length) == tuple(module.inv_freq.double().tolist()), length


@pytest.mark.parametrize(("kind", "starts"), [("dynamic", [301, 513, 1025]), ("longrope", [301])])
def test_the_first_length_of_other_frequencies_is_exact(kind: str, starts: list[int]) -> None:
    (rotation,) = observe(following(kind)).rotations
    assert list(rotation.first_changes())[:3] == starts
    assert rotation.at(300) == rotation.frequencies
    assert rotation.at(301) != rotation.frequencies
