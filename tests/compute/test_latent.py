"""Latent attention on latents is latent attention on keys and values; what each costs is what PyTorch counts."""

from itertools import pairwise
from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from longspan.compute import latent as module
from longspan.compute.latent import Expansion, LatentWidths, latent_attention

DEEPSEEK = LatentWidths(latent=512, rotary=64, content=128, value=128)
"""DeepSeek V2, V2-Lite and V3."""
sizes = st.integers(1, 7)
widths = st.builds(LatentWidths, sizes, sizes, sizes, sizes)


Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Three = tuple[Tensor, Tensor, Tensor]


def tensors(widths: LatentWidths, batch: int, heads: int, new: int, cached: int) -> Five:
    generator = torch.Generator().manual_seed(0)
    shapes = (
        (batch, heads, new, widths.content), (batch, heads, new, widths.rotary),
        (batch, cached, widths.latent), (batch, cached, widths.rotary),
        (heads * (widths.content + widths.value), widths.latent),
    )  # fmt: skip
    a, b, c, d, e = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return a, b, c, d, e


def expanded(content: Tensor, rotary: Tensor, latent: Tensor, key: Tensor, expansion: Expansion) -> Three:
    """Query, key and value of every head, as the paper writes them."""
    keys, values = expansion.expand(latent)
    shared = key[:, None].expand(-1, keys.shape[1], -1, -1)
    return torch.cat([content, rotary], -1), torch.cat([keys, shared], -1), values


@given(widths, st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(0, 6), st.booleans())
def test_absorbed_is_expanded(widths: LatentWidths, batch: int, heads: int, new: int, more: int, added: bool) -> None:
    cached = new + more
    content, rotary, latent, key, weight = tensors(widths, batch, heads, new, cached)
    expansion = Expansion.of(weight, widths.content, widths.value)
    mask = torch.ones(new, cached, dtype=torch.bool).tril(more)[None, None]
    if added:
        mask = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -inf)
    query, keys, values = expanded(content, rotary, latent, key, expansion)
    scale = query.shape[-1] ** -0.5
    wanted = scaled_dot_product_attention(query, keys, values, mask, scale=scale)
    torch.testing.assert_close(
        latent_attention(content, rotary, latent, key, expansion, scale, mask), wanted, rtol=1e-12, atol=1e-12
    )
    if new == 1:
        torch.testing.assert_close(
            latent_attention(content, rotary, latent, key, expansion, scale), wanted, rtol=1e-12, atol=1e-12
        )


def test_merging_the_matrices_beforehand_is_the_same() -> None:
    """The other absorbed form, W_UQᵀ W_UK and W_O W_UV as one matrix each."""
    widths = LatentWidths(6, 2, 4, 3)
    content, rotary, latent, key, weight = tensors(widths, 2, 3, 1, 9)
    expansion = Expansion.of(weight, widths.content, widths.value)
    compressed, up, out = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 1, 5), (3, 4, 5), (7, 9)))
    content = torch.einsum("btr,hnr->bhtn", compressed, up)
    serial = latent_attention(content, rotary, latent, key, expansion, 0.4).transpose(1, 2).flatten(2) @ out.mT
    merged_query = torch.einsum("hnr,hnc->hrc", up, expansion.key)
    merged_out = torch.einsum("dhv,hvc->dhc", out.unflatten(1, (3, 3)), expansion.value)
    scores = torch.einsum("btr,hrc,blc->bhtl", compressed, merged_query, latent) + rotary @ key[:, None].mT
    mixed = (0.4 * scores).softmax(-1) @ latent[:, None]
    torch.testing.assert_close(torch.einsum("bhtc,dhc->btd", mixed, merged_out), serial, rtol=1e-12, atol=1e-12)


def test_memory_is_bounded_and_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    content, rotary, latent, key, weight = tensors(LatentWidths(4, 2, 3, 2), 2, 3, 6, 11)
    expansion = Expansion.of(weight, 3, 2)
    mask = torch.rand(2, 1, 6, 11) > 0.3
    whole = latent_attention(content, rotary, latent, key, expansion, 0.5, mask)
    seen: list[int] = []
    mix = module._mix
    monkeypatch.setattr(module, "SCORES", 2 * 3 * 11 * 4)
    monkeypatch.setattr(module, "_mix", lambda met, *rest: (seen.append(met.shape[2]), mix(met, *rest))[1])
    torch.testing.assert_close(
        latent_attention(content, rotary, latent, key, expansion, 0.5, mask), whole, rtol=1e-12, atol=1e-12
    )
    assert seen == [4, 2]


@pytest.mark.parametrize(("new", "cached"), [(1, 50), (3, 20), (7, 7)])
@pytest.mark.parametrize("widths", [LatentWidths(8, 2, 4, 3), LatentWidths(5, 4, 6, 7)])
def test_multiplications_are_those_that_pytorch_counts(widths: LatentWidths, new: int, cached: int) -> None:
    content, rotary, latent, key, weight = tensors(widths, 1, 1, new, cached)
    expansion = Expansion.of(weight, widths.content, widths.value)
    with FlopCounterMode(display=False) as absorbed:
        latent_attention(content, rotary, latent, key, expansion, 1.0)
    with FlopCounterMode(display=False) as naive:
        query, keys, values = expanded(content, rotary, latent, key, expansion)
        _ = (query @ keys.mT).softmax(-1) @ values
    assert absorbed.get_total_flops() == 2 * widths.absorbed(new, cached)
    assert naive.get_total_flops() == 2 * widths.expanded(new, cached)


def test_deepseek_absorbs_up_to_170_queries() -> None:
    assert DEEPSEEK.break_even == pytest.approx(512 * 256 / 768)
    absorbs = [DEEPSEEK.absorbs(new, 10**9) for new in range(1, 400)]
    assert absorbs.index(False) == 170
    assert all(a >= b for a, b in pairwise(absorbs))
    assert not DEEPSEEK.absorbs(64, 64)  # a prompt


@given(widths, st.integers(1, 40))
def test_the_break_even_is_where_the_costs_cross(widths: LatentWidths, new: int) -> None:
    far = 10**9
    if new < widths.break_even * (1 - 1e-6):
        assert widths.absorbs(new, far)
    if new > widths.break_even * (1 + 1e-6):
        assert not widths.absorbs(new, far)


@given(widths, st.booleans())
def test_a_row_that_sees_nothing_is_finite(widths: LatentWidths, alone: bool) -> None:
    content, rotary, latent, key, weight = tensors(widths, 1, 2, 3, 4)
    mask = torch.ones(1, 1, 3, 4, dtype=torch.bool)
    mask[:, :, 1] = False
    found = latent_attention(
        content, rotary, latent, key, Expansion.of(weight, widths.content, widths.value), 1.0, mask
    )
    assert found.isfinite().all()
