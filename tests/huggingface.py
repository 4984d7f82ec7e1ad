"""What Hugging Face transformers makes of the same settings: an outside source for rotations."""

from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

FLOAT32: dict[str, Any] = {"rtol": 3e-6, "atol": 0.0}
"""transformers raises the base to its power in float32: the exponent's rounding, times ln(theta), and a few more."""


def config(kind: str, head_dim: int, trained_length: int, theta: float = 10000.0, **settings) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=4 * head_dim,
        num_attention_heads=4,
        head_dim=head_dim,
        max_position_embeddings=trained_length,
        rope_parameters={"rope_type": kind, "rope_theta": theta, **settings},
    )


def rope_parameters(
    kind: str, head_dim: int, trained_length: int, length: int | None = None, **settings
) -> tuple[Tensor, float]:
    """Frequencies (in float64, of float32 accuracy) and the factor on cos and sin."""
    chosen = config(kind, head_dim, trained_length, **settings)
    if kind == "default":
        frequencies, gain = LlamaRotaryEmbedding.compute_default_rope_parameters(chosen)
    else:
        frequencies, gain = ROPE_INIT_FUNCTIONS[kind](chosen, torch.device("cpu"), seq_len=length)
    return frequencies.double(), gain
