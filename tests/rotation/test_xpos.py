from math import inf

import pytest
import torch
from x_transformers.x_transformers import RotaryEmbedding, apply_rotary_pos_emb

from called import EXACT, PLACES, output
from longspan.compute.attend import attend
from longspan.errors import SchemeError
from longspan.mask.bidirectional import Bidirectional
from longspan.notation import format_scheme, parse
from longspan.rotation.rope import RoPE
from longspan.rotation.xpos import XPos
from longspan.scheme import Scheme


def test_attention_is_x_transformers() -> None:
    """Their q times scale, k divided by it, centered on the middle of the text; interleaved pairs."""
    length, head_dim, scale_base = 48, 16, 8
    query, key, value = torch.randn(3, 1, 2, length, head_dim)
    angles, scale = RotaryEmbedding(head_dim, use_xpos=True, scale_base=scale_base).forward_from_seq_len(length)
    rotated = (
        apply_rotary_pos_emb(query, angles, scale),  # pyright: ignore[reportArgumentType]
        apply_rotary_pos_emb(key, angles, scale**-1),  # pyright: ignore[reportArgumentType]
    )
    wanted = torch.nn.functional.scaled_dot_product_attention(*rotated, value, is_causal=True)
    ours = attend(query, key, value, Scheme.of(XPos(scale_base=scale_base, layout="interleaved")))
    # Both are float32; theirs spreads each score over factors as large as 0.2857^(−24/8) = 43.
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)


def test_fading_of_the_fastest_and_the_slowest_pair() -> None:
    """ζ_0 and ζ_31 of d = 64 and γ = 0.4."""
    zeta = (512 * XPos().log_decay(64)).exp()
    assert (round(zeta[0].item(), 4), round(zeta[-1].item(), 4)) == (0.2857, 0.9777)


def test_fading_within_one_token() -> None:
    """B = 1, the shortest there is: each token fades by ζ = (2i/d + 1) / 2."""
    decay = XPos(gamma=1, scale_base=1).log_decay(8).exp()
    torch.testing.assert_close(decay, torch.tensor([4, 5, 6, 7], dtype=torch.float64) / 8, **EXACT)


def test_gamma_without_bound_is_rope() -> None:
    assert not XPos(gamma=inf).spectrum(64).decays
    torch.testing.assert_close(output(XPos(gamma=inf)), output(RoPE()), rtol=0, atol=0)
    for backend in ("reference", "auto"):
        torch.testing.assert_close(output(XPos(gamma=1e15), backend=backend), output(RoPE()), **EXACT)
    assert XPos(gamma=inf).changes_nothing(10**6)
    assert parse("xpos(gamma=inf)") == parse(format_scheme(parse("xpos(gamma=1e999)"))) == Scheme(rotation=XPos(inf))
    assert not XPos().changes_nothing(1)


@pytest.mark.parametrize("shift", [1, 511, 512, 10**6])
def test_only_the_distance_counts(shift: int) -> None:
    """Also across the borders of the blocks to which decay is relative."""
    steps = 100 * torch.arange(PLACES)
    # One million costs six of float64's sixteen digits.
    torch.testing.assert_close(
        output(XPos(), positions=steps + shift), output(XPos(), positions=steps), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_million_tokens_do_not_overflow(dtype: torch.dtype) -> None:
    """Centered on the middle, keys of the fastest pair would be multiplied by 0.2857^(−10^6/1024), 10^531."""
    positions = torch.tensor([0, 1, 500_000, 999_998, 999_999, 1_000_000])
    query, key, value = torch.randn(3, 1, 2, 6, 8, dtype=torch.float64).to(dtype)
    out = attend(query, key, value, Scheme.of(XPos()), key_positions=positions)
    exact = attend(query.double(), key.double(), value.double(), Scheme.of(XPos()), key_positions=positions)
    assert out.isfinite().all()
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=4 * torch.finfo(dtype).eps * value.abs().max().item())


def test_a_token_and_itself_do_not_fade() -> None:
    """One key: whatever the position, attention to itself is plain; two keys at one place share as without rotation."""
    here = torch.full((PLACES,), 777)
    torch.testing.assert_close(output(XPos(), positions=here), output(), **EXACT)


def test_causal_only() -> None:
    with pytest.raises(SchemeError, match="xpos is causal only"):
        Scheme.of(XPos(), Bidirectional())


@pytest.mark.parametrize("given", [{"gamma": 0.0}, {"scale_base": 0}])
def test_out_of_range_is_refused(given: dict) -> None:
    with pytest.raises(SchemeError, match=next(iter(given))):
        XPos(**given)
