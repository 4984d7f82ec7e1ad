"""A tiny random model of any model type of transformers: the sizes in its default config made small."""

import copy
import inspect
import re
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LAYERS = 4
"""Enough for a layer of each type in most patterns."""

SMALL: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 32,
    "sliding_window": 16,
    "attention_chunk_size": 16,
    # experts
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    # latent attention
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 24,
    "v_head_dim": 16,
    # indexers
    "index_topk": 12,
    "index_n_heads": 16,
    "index_head_dim": 16,
    # recurrent layers
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "lru_width": 64,
    # others
    "ffn_hidden_size": 48,
    "n_embd": 64,
    "n_head": 4,
    "n_layer": LAYERS,
    "n_positions": 64,
    "rotary_dim": 8,
    "d_model": 64,
    "vocab_size_per_layer_input": 120,
    "hidden_size_per_layer_input": 8,
    "altup_num_inputs": 2,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "tie_word_embeddings": False,
    # towers
    "image_size": 32,
    "patch_size": 16,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
LARGEST = 40_000_000
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {"encoder_hash_byte_group_vocab": 100},
    "blt_local_decoder": {"hidden_size_global": 64},
    "blt_local_encoder": {"hidden_size_global": 64},
    "codegen": {"max_position_embeddings": 64},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "DbrxAttentionConfig": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8},
    "dots3_note_text": {
        "num_key_value_heads": 4,
        "shared_experts_intermediate_size": 32,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_q_lora_rank": 24,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 24,
        "swa_qk_nope_head_dim": 16,
        "swa_v_head_dim": 16,
    },
    "dots3_note_audio_encoder": {"adapter_input_size": 64, "adapter_out_dim": 64, "downsample_hidden_size": 32},
    "dots3_note_vision_encoder": {
        "adapter_in_dim": 64,
        "adapter_out_dim": 64,
        "pyramid_num_routed": [-1, 4, -1, 4],
        "num_experts_per_tok": 2,
    },
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "num_layers": LAYERS},
    "gptj": {"max_position_embeddings": 64},
    "granitemoehybrid": {
        "position_embedding_type": "rope",
        "layer_types": ["linear_attention", "full_attention"] * 2,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "ministral": {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "mimo_v2_flash": {"head_dim": 24},  # of which 0.334 rotate: an even number of channels, as in the real model
    "mistral": {"sliding_window": None},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 12,
        "indexer_compress_ratio": 1,
    },
    "reformer": {"is_decoder": True, "axial_pos_shape": (8, 8), "axial_pos_embds_dim": (32, 32)},
    "roformer": {"max_position_embeddings": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"use_mem_rope": True},
    "zaya": {"num_experts_per_tok": 1},
}
"""What a size alone does not say."""


def model_types() -> list[str]:
    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def small_config(model_type: str) -> PreTrainedConfig:
    """The type's config with the sizes of `SMALL`, and lists per layer cut to fit."""
    return _small_of(type(AutoConfig.for_model(model_type)))


def _small_of(kind: type[PreTrainedConfig]) -> PreTrainedConfig:
    return kind(**(_small(kind) | SPECIAL.get(kind.model_type or kind.__name__, {})))


def _small(kind: type[PreTrainedConfig]) -> dict[str, Any]:
    default = kind()
    known = vars(default)
    accepted = set(inspect.signature(kind.__init__).parameters) | set(known) | set(kind.attribute_map)
    chosen = {name: value for name, value in SMALL.items() if name in accepted}
    if known.get("sliding_window", None) is None:
        chosen.pop("sliding_window", None)
    depth = known.get("num_hidden_layers")
    for name, value in known.items():
        if isinstance(value, list | tuple) and value and len(value) == depth:
            chosen[name] = _spread(list(value))
    if "qk_rope_head_dim" in accepted:
        chosen["head_dim"] = SMALL["qk_rope_head_dim"]  # the rotary module reads it
        chosen["num_key_value_heads"] = SMALL["num_attention_heads"]
    elif known.get("head_dim", None) is None and "head_dim" in chosen:
        chosen["head_dim"] = 16
    if isinstance(known.get("intermediate_size", None), list):
        chosen["intermediate_size"] = [48] * LAYERS
    if known.get("q_lora_rank", 0) is None:
        chosen.pop("q_lora_rank", None)
    for name in ("num_experts", "num_local_experts"):
        if known.get(name, 0) is None or (known.get(name, 1) == 0):
            chosen.pop(name, None)
    for name, part in known.items():
        if isinstance(part, PreTrainedConfig):
            chosen[name] = _small_of(type(part))
    rope = known.get("rope_parameters", None)
    if rope:
        chosen["rope_parameters"] = _small_rope(rope)
    return chosen


def _spread(values: list[Any]) -> list[Any]:
    """As many kinds of layers as there are places, the rarest kept."""
    kinds = list(dict.fromkeys(map(str, values)))
    firsts = [values[[str(v) for v in values].index(kind)] for kind in kinds][:LAYERS]
    return (firsts * LAYERS)[:LAYERS]


def _small_rope(rope: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(value, dict) for value in rope.values()):
        return {name: _small_rope(value) if isinstance(value, dict) else value for name, value in rope.items()}
    small = dict(rope)
    if "original_max_position_embeddings" in small:
        small["original_max_position_embeddings"] = 16
    return small


def small_model(model_type: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return model_of(small_config(model_type), dtype)


def model_of(config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    with torch.device("meta"):
        size = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(copy.deepcopy(config)).parameters())
    if size > LARGEST:
        raise ValueError(f"the smallest config found has {size / 1e6:.0f} million weights")
    torch.manual_seed(0)
    # The fast kernels of experts know no float64.
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, experts_implementation="eager").eval()
    return matter(model)


@torch.no_grad()
def matter(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough for positions to matter."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and not name.endswith("norm.weight"):
            fan = weight.shape[-1]
            weight.copy_(torch.randn(weight.shape, generator=generator) * (1.5 / fan**0.5))
        elif weight.ndim == 1 and "norm" in name and "weight" in name:
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
            if re.search("(q|k|query|key)_?(layer)?norm", name):
                weight.add_(1.0)
        elif not weight.any() and "bias" not in name:
            weight.add_(1.0)
    return model
