"""Mistakes that a config alone does not hold: in transformers' own code, and in GGUF files."""

import copy
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import masking_utils
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from audit.published import GEMMA_3_1B, LLAMA_31_8B, PHI_3_MINI_128K, QWEN_25_7B
from longspan.audit.checkpoint import Checkpoint, of_raw, read
from longspan.audit.checks import checks
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from pretrained.families import model_of, small_config


def found(checkpoint: Checkpoint, check: str, length: int | None = None) -> list[Finding]:
    return list(checks()[check](Subject(checkpoint, length)))


def changed(raw: dict[str, Any], **changes: Any) -> Checkpoint:
    return of_raw("changed", copy.deepcopy(raw) | {"num_hidden_layers": 2} | changes)


def shipped(model_type: str) -> Checkpoint:
    config = small_config(model_type)
    return Checkpoint(model_type, config.to_dict(), type(config))


@pytest.mark.parametrize("model_type", ["gemma3_text", "mistral", "gpt_oss", "cohere2", "mimo_v2_flash"])
def test_a_mask_one_token_too_wide_is_found(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own off-by-one until August 2025 (issues 39408 and 40163)."""
    config = small_config(model_type)
    config.sliding_window = 16
    checkpoint = Checkpoint(model_type, config.to_dict(), type(config))
    assert found(checkpoint, "window") == []
    overlay = masking_utils.sliding_window_overlay
    monkeypatch.setattr(masking_utils, "sliding_window_overlay", lambda size: overlay(size + 1))
    (finding,) = found(Checkpoint(model_type, checkpoint.raw, checkpoint.kind), "window")
    assert (finding.severity, finding.given) == ("failure", "window of 16")
    assert "sees 17 tokens" in finding.what
    assert "15" in finding.do


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
def test_a_rescaling_that_the_code_drops_is_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"factor": 4.0, "original_max_position_embeddings": 8, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    raw = shipped("llama").raw | {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, **numbers}}
    assert found(of_raw("llama", raw), "dropped") == []
    plain = lambda config, *_, **__: (1e4 ** (-torch.arange(0, 16, 2) / 16), 1.0)  # noqa: E731
    monkeypatch.setitem(ROPE_INIT_FUNCTIONS, kind, plain)
    (finding,) = found(of_raw("llama", raw), "dropped")
    assert finding.severity == "failure"
    assert finding.where == "rope_parameters"
    assert kind in finding.what


def test_frequencies_that_the_code_computes_otherwise_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the factor that the config names, and longspan's own YaRN to compare with."""
    yarn = ROPE_INIT_FUNCTIONS["yarn"]

    def half(config: Any, *rest: Any, **more: Any) -> Any:
        config = copy.deepcopy(config)
        config.rope_parameters = {**config.rope_parameters, "factor": config.rope_parameters["factor"] / 2}
        return yarn(config, *rest, **more)

    monkeypatch.setitem(ROPE_INIT_FUNCTIONS, "yarn", half)
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
    (finding,) = found(of_raw("llama", shipped("llama").raw | {"rope_parameters": rope}), "dropped")
    assert "by a factor of up to 2" in finding.what


def test_longrope_is_a_warning_where_generate_reads_again_and_a_failure_elsewhere() -> None:
    """Phi-3 drops its cache at the original length; nobody else does."""
    (phi,) = found(changed(PHI_3_MINI_128K), "changing")
    assert phi.severity == "warning"
    rope = {**PHI_3_MINI_128K["rope_scaling"], "original_max_position_embeddings": 4096}
    llama = changed(LLAMA_31_8B, rope_scaling=rope, hidden_size=3072, num_key_value_heads=32)
    (other,) = found(llama, "changing")
    assert other.severity == "failure"
    assert "a call of 4097 tokens rotates otherwise than one of 4096" in other.what


def test_longrope_with_one_list_twice_changes_nothing() -> None:
    rope = {**PHI_3_MINI_128K["rope_scaling"]}
    rope["short_factor"] = rope["long_factor"]
    assert found(changed(PHI_3_MINI_128K, rope_scaling=rope), "changing") == []


def test_dynamic_scaling_is_a_note_for_texts_that_never_reach_it() -> None:
    checkpoint = changed(QWEN_25_7B, rope_scaling={"type": "dynamic", "factor": 4.0})
    assert [finding.severity for finding in found(checkpoint, "changing", 8192)] == ["note"]
    assert [finding.severity for finding in found(checkpoint, "changing", 131072)] == ["failure"]


def test_yarn_as_its_card_says_is_no_mistake() -> None:
    """Qwen 2.5's card: factor 4 from 32768, with max_position_embeddings as it came: a warning at most."""
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    (finding,) = found(changed(QWEN_25_7B, rope_scaling=rope), "original_length")
    assert finding.severity == "warning"
    assert "131072" in finding.do


def test_a_missing_original_length_names_both_lengths_it_can_be() -> None:
    checkpoint = changed(QWEN_25_7B, rope_scaling={"type": "yarn", "factor": 4.0}, max_position_embeddings=131072)
    (finding,) = found(checkpoint, "original_length")
    assert finding.severity == "failure"
    assert finding.where == "rope_scaling.original_max_position_embeddings"
    assert "32768 if max_position_embeddings was raised by the factor, 131072 if it was not" in finding.do


def test_a_slip_of_the_keyboard_in_a_number_is_named() -> None:
    rope = LLAMA_31_8B["rope_scaling"]
    slipped = {("high_frq_factor" if key == "high_freq_factor" else key): value for key, value in rope.items()}
    (finding,) = found(changed(LLAMA_31_8B, rope_scaling=slipped), "misspelt")
    assert (finding.where, finding.do) == ("rope_scaling.high_frq_factor", "write high_freq_factor")


def test_a_field_that_nobody_mentions_is_a_warning() -> None:
    rope = {**LLAMA_31_8B["rope_scaling"], "flavour": 3}
    (finding,) = found(changed(LLAMA_31_8B, rope_scaling=rope), "misspelt")
    assert (finding.severity, finding.where) == ("warning", "rope_scaling.flavour")


def test_an_old_spelling_of_a_family_is_known() -> None:
    assert found(changed(GEMMA_3_1B), "misspelt") == []


def test_a_top_level_base_that_the_parameters_overrule_is_found() -> None:
    checkpoint = changed(LLAMA_31_8B, rope_scaling={**LLAMA_31_8B["rope_scaling"], "rope_theta": 1e6})
    (finding,) = found(checkpoint, "no_effect")
    assert finding.where == "rope_theta"
    assert finding.given == "500000.0"


# --- GGUF -------------------------------------------------------------------------------------------------------------


def gguf_file(path: Path, *, factors: bool = False, scaling: str | None = None) -> Path:
    """The header of a tiny Llama, with a rescaling in either place or both."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(100)
    if scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        writer.add_rope_scaling_factor(4.0)
    numbers = {"token_embd.weight": np.zeros((100, 64), np.float32), "output_norm.weight": np.zeros(64, np.float32)}
    if factors:  # Llama 3's, of factor 8 from 1024 tokens
        frequencies = 1e4 ** (-np.arange(0, 16, 2) / 16)
        wavelengths = 2 * np.pi / frequencies
        smooth = np.clip((1024 / wavelengths - 1) / 3, 0, 1)
        numbers["rope_freqs.weight"] = (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)
    for name, tensor in numbers.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_header_whose_scaling_transformers_drops_is_found(tmp_path: Path) -> None:
    checkpoint = read(str(gguf_file(tmp_path / "model.gguf", scaling="yarn")))
    (finding,) = found(checkpoint, "dropped")
    assert finding.severity == "failure"
    assert "--method 'yarn(factor=4)'" in finding.do
    assert found(checkpoint, "twice") == []


def test_factors_and_a_scaling_in_one_gguf_are_twice(tmp_path: Path) -> None:
    (finding,) = found(read(str(gguf_file(tmp_path / "model.gguf", scaling="linear", factors=True))), "twice")
    assert finding.where == "rope_freqs.weight"
    assert "llama.cpp applies both" in finding.what


@pytest.mark.parametrize("factors", [False, True])
def test_a_gguf_with_one_rescaling_or_none_is_no_mistake(tmp_path: Path, factors: bool) -> None:
    checkpoint = read(str(gguf_file(tmp_path / "model.gguf", factors=factors)))
    assert [finding for check in checks() for finding in found(checkpoint, check)] == []
    (rotation,) = checkpoint.observation.rotations
    assert rotation.kind == ("llama3" if factors else "default")


def test_a_cache_that_keeps_a_window_of_layers_without_one_is_found() -> None:
    """Llamafied Mistrals carry `sliding_window`: Llama reads everything, and transformers makes a cache of a window."""
    raw = shipped("llama").raw | {"sliding_window": 16}
    (finding,) = found(of_raw("llama", raw), "window")
    assert (finding.severity, finding.given) == ("failure", "cache of a window of 16")
    assert "keeps the last 15 alone" in finding.what
    model, text = model_of(of_raw("llama", raw).config), torch.arange(3, 43)[None]
    with torch.no_grad():
        whole = model(text).logits[0, -1]
        cache = model(text[:, :1], use_cache=True).past_key_values
        steps = [model(text[:, place : place + 1], past_key_values=cache).logits[0, -1] for place in range(1, 40)]
    assert float((whole - steps[-1]).abs().max()) > 1e-3 * float(whole.abs().max())
    effects = {effect.where: effect.does for effect in Subject(of_raw("llama", raw)).effects}
    assert effects["sliding_window"]
    assert found(of_raw("llama", raw | {"sliding_window": None}), "window") == []


def test_a_field_that_repeats_the_one_that_is_read_is_no_mistake() -> None:
    """Gemma 2 as published has both; with another value, one of them is a mistake."""
    raw = shipped("gemma2").raw | {"sliding_window": 16}
    assert found(of_raw("gemma2", raw | {"sliding_window_size": 16}), "misspelt") == []
    (finding,) = found(of_raw("gemma2", raw | {"sliding_window_size": 8}), "misspelt")
    assert (finding.where, finding.do) == ("sliding_window_size", "write sliding_window")


FLAT: dict[str, Any] = {
    "model_type": "qwen2_5_vl", "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 120,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048, "max_window_layers": 2,
    "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}, "sliding_window": 256,
    "use_sliding_window": False,
    "vision_config": {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64},
}  # fmt: skip
"""As Qwen2.5-VL was published: what describes the text stands at the outermost level."""


def test_a_flat_config_of_a_wrapper_is_read_where_it_is_written() -> None:
    checkpoint = of_raw("flat", FLAT)
    assert checkpoint.text.max_position_embeddings == 2048  # the premise
    assert [each for check in checks() for each in found(checkpoint, check)] == []
    reasons = {effect.where: effect.reason for effect in Subject(checkpoint).effects}
    assert reasons["sliding_window"] == "it changes no layer's window"
    assert "promises a length" in reasons["max_position_embeddings"]


def test_a_field_beside_the_text_of_a_nested_wrapper_is_still_found() -> None:
    """The same family with a text_config, and one whose class hands nothing on."""
    nested = {key: FLAT[key] for key in ("model_type", "vision_config", "rope_scaling")}
    text = {key: value for key, value in FLAT.items() if key not in nested}
    assert of_raw("nested", nested | {"text_config": text}).text_path == ("text_config",)
    gemma = {"model_type": "gemma3", "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    assert "nesting" in {finding.check for finding in found(of_raw("gemma", gemma), "nesting")}


@pytest.mark.parametrize("name", ["attn_temperature_tuning", "floor_scale", "attn_scale"])
def test_what_sharpens_far_queries_is_not_tried(name: str) -> None:
    """Llama 4 multiplies queries by a function of their position, which shapes do not show."""
    effects = {effect.where: effect for effect in Subject(shipped("llama4_text")).effects}
    assert effects[name].does is None
    assert "scales queries by position" in effects[name].reason
