from typing import Any

import mpmath
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as half
from x_transformers.x_transformers import RotaryEmbedding
from x_transformers.x_transformers import apply_rotary_pos_emb as interleaved

from huggingface import config
from longspan.compute.rotate import rotate, tables
from longspan.rotation.rope import RoPE
from longspan.rotation.yarn import YaRN

POSITIONS = torch.tensor([[0, 1, 2, 7, 100, 4095], [5, 4, 3, 2, 1, 0]])
FLOAT32: dict[str, Any] = {"rtol": 1e-6, "atol": 4095 * 4 * 2**-24 * 3}
"""Their angles are float32: at position 4095 off by a few roundings of 4095; channels are below three."""


def test_half_layout_is_llamas() -> None:
    query, key = torch.randn(2, 2, 3, 6, 16)
    cos, sin = LlamaRotaryEmbedding(config("default", 16, 4096))(query, POSITIONS)
    for x, wanted in zip((query, key), half(query, key, cos, sin), strict=True):
        torch.testing.assert_close(rotate(x, POSITIONS[..., None], RoPE().spectrum(16)), wanted, **FLOAT32)


def test_half_layout_is_llamas_from_the_same_tables() -> None:
    """The turning itself, angles aside: two products and a sum, and channels below four."""
    query = torch.randn(2, 3, 6, 16, dtype=torch.float64)
    spectrum = RoPE().spectrum(16)
    cos, sin = (table.repeat(1, 1, 2) for table in tables(POSITIONS[..., None], spectrum))
    wanted, _ = half(query, query, cos, sin)
    torch.testing.assert_close(rotate(query, POSITIONS[..., None], spectrum), wanted, rtol=0, atol=4 * 2 * 2**-52)


def test_gain_is_hugging_faces() -> None:
    """YaRN's factor on cos and sin, as Llama's own rotary module applies it."""
    query = torch.randn(2, 3, 6, 16)
    settings = {"factor": 8.0, "original_max_position_embeddings": 512}
    cos, sin = LlamaRotaryEmbedding(config("yarn", 16, 4096, **settings))(query, POSITIONS)
    wanted, _ = half(query, query, cos, sin)
    torch.testing.assert_close(rotate(query, POSITIONS[..., None], YaRN(8, 512).spectrum(16)), wanted, **FLOAT32)


@pytest.mark.parametrize("rotary_dim", [16, 8])
def test_interleaved_layout_is_x_transformers(rotary_dim: int) -> None:
    """All channels, or the first half of them."""
    x = torch.randn(2, 3, 6, 16)
    wanted = interleaved(x, RotaryEmbedding(rotary_dim)(POSITIONS)[0])
    spectrum = RoPE(layout="interleaved", partial=rotary_dim / 16).spectrum(16)
    torch.testing.assert_close(rotate(x, POSITIONS[..., None], spectrum), wanted, **FLOAT32)


def test_layouts_are_permutations_of_each_other() -> None:
    x = torch.randn(2, 3, 6, 16, dtype=torch.float64)
    order = torch.cat([torch.arange(0, 16, 2), torch.arange(1, 16, 2)])
    a = rotate(x, POSITIONS[..., None], RoPE(layout="interleaved").spectrum(16))[..., order]
    torch.testing.assert_close(rotate(x[..., order], POSITIONS[..., None], RoPE().spectrum(16)), a, rtol=0, atol=0)


def test_angles_at_a_million_are_exact_to_their_rounding() -> None:
    """Against fifty digits. In float32 the angle alone would be off by 0.03."""
    position, pairs = 1_000_000, 64
    cos, sin = tables(torch.tensor([[[position]]]), RoPE().spectrum(2 * pairs))
    with mpmath.workdps(50):
        for i in range(pairs):
            angle = position * mpmath.mpf(10000) ** (-mpmath.mpf(i) / pairs)
            # One rounding each of frequency and angle, and the few of the power's exponent.
            budget = 8 * float(angle) * 2**-53 + 2**-52
            assert abs(cos[0, 0, i].item() - mpmath.cos(angle)) <= budget
            assert abs(sin[0, 0, i].item() - mpmath.sin(angle)) <= budget


def test_cast_comes_after_cosine_and_sine() -> None:
    """bfloat16 input at position one million: as exact as rounding the result allows."""
    x = torch.randn(1, 1, 1, 16, dtype=torch.bfloat16)
    place = torch.tensor([[[1_000_000]]])
    spectrum = RoPE().spectrum(16)
    exact = rotate(x.double(), place, spectrum)
    budget = 4 * 2**-8 * x.abs().max().item()
    torch.testing.assert_close(rotate(x, place, spectrum).double(), exact, rtol=0, atol=budget)


def test_half_positions_are_positions() -> None:
    """float64 coordinates: two steps of one half make one of one."""
    x = torch.randn(1, 1, 1, 16, dtype=torch.float64)
    spectrum = RoPE().spectrum(16)
    step = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    twice = rotate(rotate(x, step, spectrum), step, spectrum)
    torch.testing.assert_close(twice, rotate(x, torch.ones(1, 1, 1).long(), spectrum), rtol=1e-14, atol=1e-14)
