"""The true distance is what transformers' own rotary attention has."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from by_hand import drawn, tensors
from longspan import attend
from longspan.distance.true import TrueDistance


def test_distance_is_the_difference() -> None:
    i, j = np.indices((7, 7))
    assert (TrueDistance()(torch.from_numpy(i), torch.from_numpy(j)).numpy() == i - j).all()


def test_attention_is_that_of_transformers() -> None:
    q, k, v = tensors(*drawn(20))
    rotary = LlamaRotaryEmbedding(LlamaConfig(hidden_size=16, num_attention_heads=1))
    cos, sin = (table.double() for table in rotary(q.float(), torch.arange(20)[None]))
    rotated = apply_rotary_pos_emb(q, k, cos, sin)
    wanted = torch.nn.functional.scaled_dot_product_attention(*rotated, v, is_causal=True)
    # Their angles are float32, ours float64.
    torch.testing.assert_close(attend(q, k, v, "true"), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [1, 1000])
def test_only_the_difference_matters(shift: int) -> None:
    q, k, v = tensors(*drawn(9))
    moved = attend(q, k, v, "true", key_positions=torch.arange(9) + shift, query_positions=torch.arange(9) + shift)
    torch.testing.assert_close(moved, attend(q, k, v, "true"), rtol=0, atol=1e-12)
