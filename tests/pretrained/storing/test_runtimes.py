"""Flags of other runtimes: what is called nearest is something that the runtime takes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedConfig

from longspan.pretrained.storing.runtimes import runtime_flags
from pretrained.families import small_config

ORIGINAL = 32
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL}
CHECKPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {"rope_type": "default"}),
    "yarn": ("llama", YARN),
    "split gain": ("deepseek_v2", {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707}),
    "unrounded": ("gpt_oss", {**YARN, "truncate": False}),
    "own gain": ("llama", {**YARN, "attention_factor": 1.3}),
    "all of them": (
        "llama",
        {**YARN, "attention_factor": 1.3, "truncate": False, "mscale": 1.0, "mscale_all_dim": 0.5},
    ),
    "llama 3": ("llama", {**YARN, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}),
    "layers that differ": ("gemma3_text", {}),
}


def checkpoint(name: str) -> PreTrainedConfig:
    model_type, rope = CHECKPOINTS[name]
    config = small_config(model_type)
    if rope:
        config.rope_parameters = {"rope_theta": 1e4, **rope}
        config.max_position_embeddings = 4 * ORIGINAL
    return config


@given(
    st.sampled_from(sorted(CHECKPOINTS)),
    st.sampled_from(["yarn", "yarn(factor=3)", "linear(factor=3)", "dynamic_ntk", "rerope(window=8)", "longrope"]),
    st.sampled_from([128, 777, 1000]),
)
@settings(max_examples=12)
def test_a_runtime_takes_what_is_called_nearest(name: str, scheme: str, length: int | None) -> None:
    config = checkpoint(name)
    for found in runtime_flags(config, scheme, length):
        assert bool(found.flags) != bool(found.reason)
        if found.nearest:
            again = runtime_flags(config, found.nearest, length)
            assert next(each for each in again if each.runtime == found.runtime).flags


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("split gain", "yarn(factor=8, ramp=index, mscale=0, mscale_all_dim=0)"),
        ("unrounded", "yarn(factor=8, ramp=index)"),
        ("own gain", "yarn(factor=8, ramp=index, attention_factor=1.2079441541679836, mscale=0, mscale_all_dim=0)"),
        ("llama 3", ""),
    ],
)
def test_llama_cpp_is_offered_the_numbers_that_it_takes(name: str, nearest: str) -> None:
    (found,) = (each for each in runtime_flags(checkpoint(name), "yarn", 256) if each.runtime == "llama.cpp")
    assert (found.flags, found.nearest) == ((), nearest)


def test_a_runtime_that_takes_no_named_rotation_is_offered_none() -> None:
    found = {each.runtime: each for each in runtime_flags(checkpoint("layers that differ"), "yarn(factor=2)")}
    assert not found["sglang"].flags
    assert not found["sglang"].nearest
