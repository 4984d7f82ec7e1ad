from dataclasses import replace
from typing import Any

import mpmath
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as half
from x_transformers.x_transformers import RotaryEmbedding
from x_transformers.x_transformers import apply_rotary_pos_emb as interleaved

from huggingface import config
from longspan.compute.rotate import decay_span, rotate, rotate_by, tables
from longspan.rotation.rope import RoPE
from longspan.rotation.xpos import XPos
from longspan.rotation.yarn import YaRN
from longspan.slots import Layout

POSITIONS = torch.tensor([[0, 1, 2, 7, 100, 4095], [5, 4, 3, 2, 1, 0]])
FLOAT32: dict[str, Any] = {"rtol": 1e-6, "atol": 4095 * 4 * 2**-24 * 3}
"""Their angles are float32: at position 4095 off by a few roundings of 4095; channels are below three."""


def test_half_layout_is_llamas() -> None:
    query, key = torch.randn(2, 2, 3, 6, 16)
    cos, sin = LlamaRotaryEmbedding(config("default", 16, 4096))(query, POSITIONS)
    for x, wanted in zip((query, key), half(query, key, cos, sin), strict=True):
        torch.testing.assert_close(rotate(x, POSITIONS[..., None], RoPE().spectrum(16)), wanted, **FLOAT32)


def test_half_layout_is_llamas_from_the_same_tables() -> None:
    """The rotation itself, angles aside: two products and a sum, and channels below four."""
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
    position = torch.tensor([[[1_000_000]]])
    spectrum = RoPE().spectrum(16)
    exact = rotate(x.double(), position, spectrum)
    budget = 4 * 2**-8 * x.abs().max().item()
    torch.testing.assert_close(rotate(x, position, spectrum).double(), exact, rtol=0, atol=budget)


def test_half_positions_are_positions() -> None:
    """float64 positions: two steps of one half make one of one."""
    x = torch.randn(1, 1, 1, 16, dtype=torch.float64)
    spectrum = RoPE().spectrum(16)
    step = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
    twice = rotate(rotate(x, step, spectrum), step, spectrum)
    torch.testing.assert_close(twice, rotate(x, torch.ones(1, 1, 1).long(), spectrum), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_gradient_is_the_rotation_back(layout: Layout) -> None:
    """⟨R x, y⟩ = ⟨x, Rᵀ y⟩, and Rᵀ rotates by the opposite angle; so it is once more for the gradient's gradient."""
    x, y, z = torch.randn(3, 2, 3, 6, 16, dtype=torch.float64)
    position, spectrum = POSITIONS[..., None], RoPE(layout=layout, partial=0.5).spectrum(16)
    x.requires_grad_()
    y.requires_grad_()
    (gradient,) = torch.autograd.grad((rotate(x, position, spectrum) * y).sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, rotate(y, -position, spectrum), rtol=0, atol=0)
    (again,) = torch.autograd.grad((gradient * z).sum(), y)
    torch.testing.assert_close(again, rotate(z, position, spectrum), rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_transforms_of_torch_func_see_a_linear_function(layout: Layout) -> None:
    """Its Jacobian, in either mode, is the rotation of every unit vector; mapped over, it is one call per example."""
    x, spectrum = torch.randn(2, 3, 6, 8, dtype=torch.float64), RoPE(layout=layout, partial=0.5).spectrum(8)
    position = POSITIONS[..., None]

    def rotated(x: torch.Tensor) -> torch.Tensor:
        return rotate(x, position, spectrum)

    units = torch.eye(8, dtype=torch.float64).expand(2, 3, 6, 8, 8).movedim(3, 0)
    columns = torch.stack([rotated(unit) for unit in units], -1)
    for jacobian in (torch.func.jacrev(rotated)(x), torch.func.jacfwd(rotated)(x)):
        diagonal = jacobian.diagonal(0, 0, 4).diagonal(0, 0, 3).diagonal(0, 0, 2)
        torch.testing.assert_close(diagonal.movedim((2, 3, 4), (0, 1, 2)), columns, rtol=0, atol=0)
        assert jacobian.count_nonzero() == columns.count_nonzero()
    pair, angles = torch.stack([x, 2 * x]), torch.stack([position, position + 3])
    both = torch.vmap(lambda x, at: rotate_by(x, (at.double().cos(), at.double().sin()), layout))(pair, angles)
    for some, one, at in zip(both, pair, angles, strict=True):
        assert torch.equal(some, rotate_by(one, (at.double().cos(), at.double().sin()), layout))
    grads = torch.vmap(torch.func.grad(lambda x: (rotated(x) * x).sum()))(pair)
    again = pair.requires_grad_()
    total = torch.stack([(rotated(x) * x).sum() for x in again]).sum()
    assert torch.equal(grads, torch.autograd.grad(total, again)[0])


def test_pairs_shrink_and_grow_by_half_per_token() -> None:
    """xPos at γ = 1, B = 1 keeps ζ = 1/2, 5/8, 3/4, 7/8 of a pair's length per token; a gain comes on top of that."""
    x = torch.randn(1, 1, 2, 8, dtype=torch.float64)
    spectrum = replace(XPos(gamma=1, scale_base=1).spectrum(8), gain=3.0)
    position, decay = torch.tensor([[[7], [100]]]), torch.tensor([[2, -1]])
    lengths = (rotate(x, position, spectrum, decay).unflatten(-1, (2, 4)) / 3).norm(dim=-2)
    zeta = torch.tensor([1 / 2, 5 / 8, 3 / 4, 7 / 8], dtype=torch.float64)
    wanted = x.unflatten(-1, (2, 4)).norm(dim=-2) * torch.stack([zeta**2, 1 / zeta])
    torch.testing.assert_close(lengths, wanted, rtol=1e-14, atol=0)


def test_one_position_takes_one_row_of_tables() -> None:
    spectrum = RoPE().spectrum(16)
    alike, other = torch.full((2, 5, 1), 7), torch.arange(10).view(2, 5, 1)
    assert [tuple(table.shape) for table in tables(alike, spectrum)] == 2 * [(2, 1, 8)]
    assert [tuple(table.shape) for table in tables(other, spectrum)] == 2 * [(2, 5, 8)]


@pytest.mark.parametrize(
    ("tokens", "block", "wanted"),
    [
        (1000, 1, 57),  # the fastest pair halves per token: 2^57 < e^40 < 2^58
        (50, 1, 50),
        (1000, 8, 456),  # as far, for it halves in eight tokens: 57 · 8 = 456 < 8 · 40 / ln 2 = 461.7
        (100, 8, 96),
        (7, 8, 8),  # one block at least
    ],
)
def test_keys_share_an_origin_while_they_grow_by_less_than_e_to_the_40(tokens: int, block: int, wanted: int) -> None:
    spectrum = XPos(gamma=1, scale_base=block).spectrum(8)
    assert decay_span(spectrum, torch.float32, tokens) == wanted
    assert decay_span(spectrum, torch.bfloat16, tokens) == wanted
    assert decay_span(spectrum, torch.float16, tokens) == block, "float16 ends at e^11"


def test_without_decay_the_origin_is_the_blocks() -> None:
    spectrum = RoPE().spectrum(8)
    assert decay_span(spectrum, torch.float32, 10**6) == spectrum.decay_block
