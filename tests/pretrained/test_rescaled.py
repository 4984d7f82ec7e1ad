"""Checkpoints that came with a rescaling: what a named rotation means on them, and what is saved and printed."""

import copy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

import longspan
from conformance.family import words
from conformance.laws import ROUNDED, apart, laws, precise
from longspan.errors import RefusalError
from longspan.notation import parts
from longspan.pretrained import attach
from longspan.pretrained.anatomy.config import geometry, rope_origin
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.runtimes import runtime_flags
from longspan.rotation.ntk import NTK
from longspan.study.candidates import candidates
from pretrained.families import model_of, small_config, small_model
from pretrained.models import logits

WORDS = words()
PAIRS = 8


@dataclass(frozen=True)
class Variant:
    """A small model of some type with a rescaling.

    Arguments:
        rope: of the layers that see everything, put over what the type has.
        original_length: before the rescaling.
        trained_length: `max_position_embeddings`.
    """

    model_type: str
    rope: dict[str, Any]
    original_length: int
    trained_length: int
    plain: dict[str, Any] = field(default_factory=lambda: {"rope_type": "default"})

    def config(self, rope: dict[str, Any] | None = None, length: int | None = None) -> PreTrainedConfig:
        """Its config, or with other rope parameters and another length."""
        config = small_config(self.model_type)
        text = config.get_text_config(decoder=True)
        present, given = text.rope_parameters, self.rope if rope is None else rope
        partial = {name: value for name, value in present.items() if name == "partial_rotary_factor"}
        if "full_attention" in present:
            full = {"rope_theta": present["full_attention"]["rope_theta"], **given}
            text.rope_parameters = {**present, "full_attention": full}
        else:
            text.rope_parameters = {"rope_theta": 1e4, **partial, **given}
        text.max_position_embeddings = length or self.trained_length
        if hasattr(text, "original_max_position_embeddings"):
            text.original_max_position_embeddings = self.original_length
        return config

    def model(self, **config: Any) -> PreTrainedModel:
        """Its model; the weights are always the same."""
        return model_of(self.config(**config), torch.float64)

    def original(self) -> PreTrainedModel:
        """The model before the rescaling."""
        return self.model(rope=self.plain, length=self.original_length)


def yarn(**more: Any) -> dict[str, Any]:
    return {"rope_type": "yarn", "factor": 4.0} | {"original_max_position_embeddings": 32} | more


def longrope(original: int, **more: Any) -> dict[str, Any]:
    return {
        "rope_type": "longrope",
        "factor": 4.0,
        "original_max_position_embeddings": original,
        "short_factor": [1.0 + 0.1 * i for i in range(PAIRS)],
        "long_factor": [1.0 + 0.5 * i for i in range(PAIRS)],
        **more,
    }


LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
UNUSUAL = {"attention_factor": 1.3, "beta_fast": 8.0, "beta_slow": 0.5, "truncate": False}
PROPORTIONAL = {"rope_type": "proportional", "partial_rotary_factor": 0.25}
LONG_QUERIES = {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 32}
UNSCALED = {"rope_type": "default", **LONG_QUERIES}
VARIANTS = {
    "llama linear": Variant("llama", {"rope_type": "linear", "factor": 4.0}, 32, 128),
    "llama dynamic": Variant("llama", {"rope_type": "dynamic", "factor": 3.0}, 64, 64),
    "llama yarn": Variant("llama", yarn(), 32, 128),
    "llama yarn, every number": Variant("llama", yarn(**UNUSUAL), 32, 128),
    "llama yarn, split gain": Variant("llama", yarn(mscale=0.7, mscale_all_dim=1.2), 32, 128),
    "llama longrope": Variant("llama", longrope(64), 64, 256),
    "llama longrope, every number": Variant("llama", longrope(64, attention_factor=1.2), 64, 256),
    "llama 3.1": Variant("llama", {**LLAMA3, "factor": 8.0, "original_max_position_embeddings": 32}, 32, 512),
    "qwen3 yarn": Variant("qwen3", yarn(), 32, 128),
    "gemma3 linear": Variant("gemma3_text", {"rope_type": "linear", "factor": 8.0}, 16, 128),
    "gemma4 proportional": Variant("gemma4_text", PROPORTIONAL, 128, 128, PROPORTIONAL),
    "gemma4 rescaled": Variant("gemma4_text", {**PROPORTIONAL, "factor": 4.0}, 32, 128, PROPORTIONAL),
    "phi3 longrope": Variant("phi3", longrope(64), 64, 256),
    "deepseek yarn": Variant("deepseek_v3", yarn(mscale=1.0, mscale_all_dim=1.0), 32, 128),
    "deepseek 2 yarn": Variant("deepseek_v2", yarn(mscale=0.707, mscale_all_dim=0.707, beta_fast=24.0), 32, 128),
    "gpt-oss yarn": Variant("gpt_oss", yarn(truncate=False, beta_fast=24.0), 32, 128),
    "ministral yarn": Variant("ministral3", yarn(mscale=1.0, mscale_all_dim=1.0, **LONG_QUERIES), 32, 128, UNSCALED),
}
METHODS = ("linear", "ntk", "ntk_mixed", "ntk_by_parts", "yarn", "llama3", "rope(theta=500)")


@pytest.fixture(autouse=True)
def _probed_once(monkeypatch):
    monkeypatch.setattr(attach, "probe", cache(attach.probe))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_laws(name):
    variant = VARIANTS[name]
    model = variant.model()
    found = laws(model, WORDS)
    expected = {"neutral": "pass", "reach": "pass"}
    if variant.rope != PROPORTIONAL:
        expected["own"] = "pass"
    assert found == expected


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "gpt-oss yarn"])
def test_a_named_rotation_starts_from_the_original_model(name):
    """The rescaled checkpoint and the model before it, both read so far by the same method, are one.

    Sliding layers keep the checkpoint's rotation, which in gpt-oss is the rescaled one.
    """
    variant = VARIANTS[name]
    model, original = variant.model(), variant.original()
    length, plain = 16 * variant.original_length, logits(original, WORDS)
    for method in METHODS:
        if rope_origin(model.config).own.name == method:  # type: ignore[union-attr]  # it inherits numbers
            continue
        with longspan.attached(model, method, length=length), longspan.attached(original, method, length=length):
            found, expected = logits(model, WORDS), logits(original, WORDS)
            assert attachment_of(model).text == attachment_of(original).text  # type: ignore[union-attr]
        assert apart(found, expected) < 1e-9, method
        assert apart(plain, expected) > 1e-2, method


@pytest.mark.parametrize(
    ("name", "rope"),
    [
        ("llama linear", {"factor": 8.0}),
        ("llama yarn", {"factor": 8.0}),
        ("llama yarn, every number", {"factor": 8.0}),
        ("llama yarn, split gain", {"factor": 8.0}),
        ("llama longrope", {"factor": 8.0}),
        ("llama 3.1", {"factor": 16.0}),
        ("qwen3 yarn", {"factor": 8.0}),
        ("gemma3 linear", {"factor": 16.0}),
        ("gemma4 rescaled", {"factor": 8.0}),
        ("phi3 longrope", {"factor": 8.0}),
        ("deepseek yarn", {"factor": 8.0}),
        ("deepseek 2 yarn", {"factor": 8.0}),
    ],
)
def test_a_bare_name_for_twice_the_length_is_what_transformers_makes_of_twice_the_factor(name, rope):
    variant = VARIANTS[name]
    model, length = variant.model(), 2 * variant.trained_length
    method = rope_origin(model.config).own.name  # type: ignore[union-attr]
    doubled = variant.model(rope=variant.rope | rope, length=length)
    with precise(model), precise(doubled), longspan.attached(model, method, length=length):
        assert apart(logits(model, WORDS), logits(doubled, WORDS)) < ROUNDED
    assert apart(logits(variant.model(), WORDS), logits(doubled, WORDS)) > 10 * ROUNDED


@pytest.mark.parametrize(
    "number", ["fast=2", "slow=1", "ramp=index", "attention_factor=1", "factor=3", "trained_length=64"]
)
def test_a_number_that_is_written_takes_the_place_of_the_checkpoints(number):
    model = VARIANTS["llama yarn, every number"].model()
    plain = logits(model, WORDS)
    with longspan.attached(model, f"yarn({number})"):
        assert apart(logits(model, WORDS), plain) > 10 * ROUNDED


@pytest.mark.parametrize("tokens", [65, 100, 200])
def test_dynamic_ntk_of_a_given_length_is_what_transformers_makes_of_a_call_of_that_length(tokens):
    model = VARIANTS["llama dynamic"].model()
    text = torch.randint(3, 119, (1, tokens), generator=torch.Generator().manual_seed(1))
    expected = logits(model, text)
    with longspan.attached(model, f"dynamic_ntk(length={tokens})"):
        assert apart(logits(model, text), expected) < ROUNDED
    with longspan.attached(model, f"dynamic_ntk(length={tokens}, factor=1)"):
        assert apart(logits(model, text), expected) > 10 * ROUNDED


@pytest.mark.parametrize("original", [8, 64, 250, 300])
@pytest.mark.parametrize("scheme", ["longrope", "longrope + rerope(window=6)", "longrope + window(size=8)"])
def test_a_longrope_checkpoint_keeps_its_lists_whatever_its_length(original, scheme):
    variant = Variant("phi3", longrope(original), original, 4 * original)
    with longspan.attached(variant.model(), scheme) as model:
        text = attachment_of(model).text  # type: ignore[union-attr]
    for name in ("short", "long"):
        assert f"{name}={tuple(variant.rope[f'{name}_factor'])}" in text
    assert f"trained_length={original}" in text


def test_the_base_is_that_of_the_layers_that_see_far():
    model = small_model("dots3_note_text")
    with longspan.attached(model, "linear(factor=2)"):
        assert "theta=80000000.0" in attachment_of(model).text  # type: ignore[union-attr]


def test_unrotated_pairs_stay_unrotated():
    model = VARIANTS["gemma4 proportional"].model()
    source = attach.probe(model).layers[-1].source
    assert source is not None
    before = source.frequencies.clone()
    assert (before == 0).any()
    with longspan.attached(model, "linear(factor=2)"):
        torch.testing.assert_close(source.frequencies, before / 2)
    with longspan.attached(model, "ntk(factor=2)"):
        moved = before / source.frequencies
        rotating = before != 0
        assert (source.frequencies == 0).equal(~rotating)
        assert moved[rotating][0] == 1
        torch.testing.assert_close(moved[rotating][-1].item(), 2.0)  # the slowest pair that rotates at all


def test_a_model_that_does_not_rotate_as_its_config_says_takes_no_named_rotation():
    model = small_model("llama", torch.float64)
    model.model.rotary_emb.inv_freq.mul_(1.01)
    with pytest.raises(RefusalError, match="does not rotate as its config says"):
        longspan.extend(model, "linear(factor=2)")
    plain = logits(model, WORDS)
    with longspan.attached(model, "rerope(window=1000)"):
        assert apart(logits(model, WORDS), plain) < 1e-4


@pytest.mark.parametrize("name", ["deepseek yarn", "llama 3.1", "gemma3 linear", "qwen3 yarn", "phi3 longrope"])
@pytest.mark.parametrize("method", ["yarn", "linear", "ntk"])
def test_what_is_saved_is_read_alike_by_stock_transformers(name, method, tmp_path):
    variant = VARIANTS[name]
    whole = model_of(variant.config())  # experts as they are loaded know no float64
    model = longspan.extend(whole, method, length=16 * variant.original_length)
    expected = logits(model, WORDS)
    longspan.save(model, tmp_path / "model")
    for loaded in (longspan.load(tmp_path / "model"), AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()):
        assert apart(logits(loaded, WORDS), expected) < ROUNDED
    assert loaded.config.max_position_embeddings == 16 * variant.original_length


# --- lengths ----------------------------------------------------------------------------------------------------------

LLAMA31 = Variant(
    "llama", {**LLAMA3, "factor": 8.0, "original_max_position_embeddings": 8192, "rope_theta": 5e5}, 8192, 131072
)


def test_candidates_count_from_the_length_before_the_rescaling():
    texts = candidates(geometry(LLAMA31.config()), 262144)
    (ntk,) = [part for text in texts for part in parts(text) if isinstance(part, NTK)]
    assert ntk.factor == 64
    assert any("yarn(factor=32.0, trained_length=8192" in text for text in texts)


@pytest.mark.parametrize("method", ["yarn", "linear", "ntk", "llama3", "longrope"])
def test_runtimes_are_given_the_length_that_was_asked_for(method):
    vllm, llama_cpp, _ = runtime_flags(LLAMA31.config(), method, 262144)
    assert vllm.flags[-2:] == ("--max-model-len", "262144")
    assert '"max_position_embeddings": 262144' in vllm.flags[1]
    assert llama_cpp.flags == ()
    assert "on top of every flag" in llama_cpp.reason
    assert not llama_cpp.nearest


def test_the_models_own_rotation_needs_no_factors_from_llama_cpp():
    assert runtime_flags(LLAMA31.config(), "rope", 65536)[1].flags == ("-c", "65536")


def test_another_base_switches_the_checkpoints_own_rescaling_off_in_llama_cpp():
    flags = runtime_flags(VARIANTS["llama linear"].config(), "ntk(factor=4)", 128)[1].flags
    assert flags[2:4] == ("--rope-scaling", "none")


def test_sglang_is_told_nothing_where_layers_rotate_differently():
    flags = runtime_flags(VARIANTS["gemma3 linear"].config(), "yarn", 256)[2]
    assert flags.flags == ()
    assert flags.reason == "layers of this model rotate differently, which SGLang's overrides may not express"


def test_vllm_is_given_parameters_where_the_config_has_them():
    overrides = runtime_flags(VARIANTS["gemma3 linear"].config(), "yarn", 256)[0].flags[1]
    assert '"rope_parameters": {"sliding_attention": ' in overrides
    assert '"full_attention": {"rope_theta": 1000000.0, "rope_type": "longrope"' in overrides
    whole = small_config("gemma3")
    assert runtime_flags(copy.deepcopy(whole), "yarn", 256)[0].flags[1].startswith('{"text_config": {"rope_parameters"')
    assert "unrotated" in runtime_flags(VARIANTS["gemma4 proportional"].config(), "yarn", 256)[0].reason
