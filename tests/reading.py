"""What measurements are tested with: what a reader reads, and checkpoints that follow the length of a call."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from longspan.measure.reading.reader import Reader


def counting(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each call of the model from now on."""
    fed: list[int] = []
    body = reader.body

    def counted(input_ids: torch.Tensor, **more: Any) -> Any:
        fed.append(input_ids.shape[1])
        return body(input_ids=input_ids, **more)

    monkeypatch.setattr(reader, "body", counted)
    return fed


def scaled(kind: str) -> Any:
    """A Llama whose checkpoint follows the length of the call beyond 64 tokens."""
    torch.manual_seed(0)
    own: dict[str, Any] = {"rope_theta": 1e4, "rope_type": kind, "factor": 4.0}
    if kind == "longrope":
        factors = {"short_factor": [1.0] * 8, "long_factor": [2.0 + i for i in range(8)]}
        own |= {"original_max_position_embeddings": 64, **factors}
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=16,
        max_position_embeddings=256 if kind == "longrope" else 64,
        initializer_range=0.3,
        rope_parameters=own,
    )
    return LlamaForCausalLM(config).eval()
