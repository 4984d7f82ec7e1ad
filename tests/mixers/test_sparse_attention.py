"""Outside sources: the masks of kexue 6853 in numpy, with complex numbers for the rotation; plain attention."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from longspan.compute.mix import mix
from longspan.errors import SchemeError, ShapeError
from longspan.mixers.attention import Attention
from longspan.mixers.sparse_attention import SparseAttention
from longspan.notation import parse_plan
from mixers.by_formula import drawn, mixed, text

Pattern = Literal["strided", "local", "atrous"]
PATTERNS: tuple[Pattern, ...] = ("strided", "local", "atrous")


def mask(tokens: int, stride: int, pattern: str, causal: bool) -> np.ndarray:
    distance = np.arange(tokens)[:, None] - np.arange(tokens)
    local, atrous = np.abs(distance) <= stride, distance % stride == 0
    seen = {"strided": local | atrous, "local": local, "atrous": atrous}[pattern]
    return seen & (distance >= 0) if causal else seen


def written_out(x: np.ndarray, weights: dict[str, np.ndarray], seen: np.ndarray) -> np.ndarray:
    query, key, value = (np.einsum("btd,hkd->bhtk", x, weights[name]) for name in ("query", "key", "value"))
    half = query.shape[-1] // 2
    angle = np.arange(x.shape[1])[:, None] * 1e4 ** (-np.arange(half) / half)
    query, key = ((y[..., :half] + 1j * y[..., half:]) * np.exp(1j * angle) for y in (query, key))
    scores = np.einsum("bhtk,bhjk->bhtj", query, key.conj()).real / (2 * half) ** 0.5
    grown = np.exp(scores) * seen
    return np.einsum("bhtj,bhjk,dhk->btd", grown / grown.sum(-1, keepdims=True), value, weights["out"])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("stride", [1, 3, 4, 17, 40])
def test_is_the_formula(stride: int, pattern: Pattern, causal: bool) -> None:
    mixer = SparseAttention(stride, pattern)
    weights, x = drawn(mixer), text(tokens=18)
    plain = {name: value.numpy() for name, value in weights.items()}
    wanted = written_out(x.numpy(), plain, mask(18, stride, pattern, causal))
    calls = [{"mode": mode, "chunk": 7} for mode in mixer.modes] if causal else [{"causal": False}]
    for call in calls:
        np.testing.assert_allclose(mixed(x, mixer, weights, **call).numpy(), wanted, rtol=1e-10, atol=1e-12)


@given(tokens=st.integers(1, 12), more=st.integers(0, 5), pattern=st.sampled_from(PATTERNS))
def test_settings_that_are_plain_attention(tokens: int, more: int, pattern: Pattern) -> None:
    mixer = SparseAttention(1 if pattern == "atrous" else max(1, tokens - 1 + more), pattern)
    weights, x = drawn(mixer), text(tokens)
    torch.testing.assert_close(mixed(x, mixer, weights), mixed(x, Attention(), weights), rtol=1e-10, atol=1e-12)


@given(stride=st.integers(1, 9))
def test_the_local_pattern_is_a_window(stride: int) -> None:
    mixer = SparseAttention(stride, "local")
    weights, x = drawn(mixer), text(tokens=20)
    wanted = mixed(x, Attention(scheme=f"rope + window({stride + 1})"), weights)
    torch.testing.assert_close(mixed(x, mixer, weights), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("below", PATTERNS)
@pytest.mark.parametrize("above", PATTERNS)
def test_a_local_and_an_atrous_layer_connect_every_pair(below: Pattern, above: Pattern) -> None:
    """Read from gradients. Two layers of the same narrow pattern do not."""
    first, second = SparseAttention(3, below), SparseAttention(3, above)

    def two(x: torch.Tensor) -> torch.Tensor:
        return mixed(mixed(x, first, drawn(first)), second, drawn(second, seed=2))

    through = torch.autograd.functional.jacobian(two, text(tokens=14, batch=1))
    assert isinstance(through, torch.Tensor)
    reached = (through[0, :, :, 0].abs().sum((1, 3)) > 0).numpy()
    if below == above != "strided":
        assert reached.sum() < np.tri(14).sum()
    else:
        assert (reached == np.tri(14, dtype=bool)).all()


def flops(mixer: SparseAttention | Attention, tokens: int) -> int:
    weights = {name: value.float() for name, value in drawn(mixer).items()}
    with FlopCounterMode(display=False) as counter:
        mixed(text(tokens, batch=1).float(), mixer, weights, chunk=32)
    return counter.get_total_flops()


def test_a_mask_that_saves_work() -> None:
    """Two products for n · (2k + n / k) pairs at most, in two heads of four channels, beside the projections."""
    tokens, stride = 1024, 32
    pairs = tokens * (2 * stride + tokens / stride)
    projections = 4 * 2 * tokens * 8 * 8
    assert flops(SparseAttention(stride), tokens) <= projections + 2 * 2 * 2 * 4 * pairs
    assert 2 * 2 * 2 * 4 * tokens**2 / 2 > 5 * flops(SparseAttention(stride), tokens)  # causal attention in full


def test_a_text_that_goes_on_reads_nothing_twice() -> None:
    mixer, x = SparseAttention(8), text(tokens=240, batch=1)
    weights = drawn(mixer)
    state = mix(x[:, :232], mixer, weights, output_final_state=True)[1]
    with FlopCounterMode(display=False) as counter:
        mix(x[:, 232:], mixer, weights, initial_state=state, chunk=8)
    assert counter.get_total_flops() < flops(mixer, 240) / 10


@pytest.mark.parametrize("pattern", PATTERNS)
def test_counts_of_keys(pattern: Pattern) -> None:
    distances = torch.arange(20)
    wanted = mask(20, 6, pattern, causal=True)[-1].sum()
    assert int(SparseAttention(6, pattern).sees(distances).sum()) == wanted
    assert int(wanted) == {"strided": 9, "local": 7, "atrous": 4}[pattern]


def test_gradients_of_a_text_that_does_not_fill_its_row_are_finite() -> None:
    for pattern in PATTERNS:
        mixer = SparseAttention(8, pattern)
        x = text(tokens=3).requires_grad_()
        (mix(x, mixer, drawn(mixer))[0].sum() + mix(x, mixer, drawn(mixer), causal=False)[0].sum()).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_refusals() -> None:
    with pytest.raises(SchemeError, match="sparse_attention: stride must be at least 1, got 0"):
        SparseAttention(0)
    with pytest.raises(SchemeError, match="sparse_attention rotates pairs of channels: head_dim must be even, got 3"):
        SparseAttention().initial_weights(2, 3)
    with pytest.raises(SchemeError, match=r"sparse_attention.*pattern must be.*got 'fixed'"):
        parse_plan("sparse_attention(pattern=fixed)")
    mixer = SparseAttention()
    object.__setattr__(mixer, "pattern", "fixed")  # tests check types before the mixer can
    with pytest.raises(
        SchemeError, match="sparse_attention: pattern must be 'strided', 'local' or 'atrous', got 'fixed'"
    ):
        mixer.__post_init__()
    mixer = SparseAttention()
    with pytest.raises(ShapeError, match="a chunk must have at least 1 token, got 0"):
        mixer.chunked(text(), drawn(mixer), mixer.initial_state(2, drawn(mixer)), 0)
