"""Outside sources: the formula in numpy, pair by pair, with complex numbers for the rotation; gau for one chunk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.flash import FLASH
from longspan.mixers.gau import GAU
from mixers.by_formula import drawn, mixed, text


def written_out(x: np.ndarray, weights: dict[str, np.ndarray], chunk: int, causal: bool) -> np.ndarray:
    """One row of a batch, (tokens, hidden)."""

    def silu(y: np.ndarray) -> np.ndarray:
        return y / (1 + np.exp(-y))

    def rotated(y: np.ndarray, place: int) -> np.ndarray:
        half = len(y) // 2
        pairs = (y[:half] + 1j * y[half:]) * np.exp(1j * place * 1e4 ** (-np.arange(half) / half))
        return np.concatenate([pairs.real, pairs.imag])

    shared, value = silu(x @ weights["shared"].T), silu(x @ weights["value"].T)
    query, key, far_query, far_key = (
        np.stack([rotated(row * scale + offset, place) for place, row in enumerate(shared)])
        for scale, offset in zip(weights["scales"], weights["offsets"], strict=True)
    )
    mixed = np.zeros_like(value)
    for t in range(len(x)):
        own = [j for j in range(len(x)) if j // chunk == t // chunk and (j <= t or not causal)]
        others = [j for j in range(len(x)) if j // chunk < t // chunk or not causal]
        for j in own:
            score = query[t] @ key[j] / query.shape[1] ** 0.5 + rotated(weights["bias"][0], t - j) @ weights["bias"][1]
            mixed[t] += max(0.0, score) ** 2 * value[j] / len(own)
        for j in others:
            mixed[t] += far_query[t] @ far_key[j] * value[j] / len(others)
    return (silu(x @ weights["gate"].T) * mixed) @ weights["out"].T


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 4, 11])
def test_is_the_formula(chunk: int, causal: bool) -> None:
    mixer = FLASH(chunk)
    weights, x = drawn(mixer), text()
    plain = {name: value.numpy() for name, value in weights.items()}
    wanted = np.stack([written_out(row, plain, chunk, causal) for row in x.numpy()])
    for mode in mixer.modes if causal else ("auto",):
        found = mix(x, mixer, weights, causal=causal, mode=mode, chunk=2)[0].numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@given(chunk=st.integers(11, 300), expansion=st.integers(1, 3))
def test_a_text_of_one_chunk_is_plain_gated_attention(chunk: int, expansion: int) -> None:
    mixer, gau = FLASH(chunk, expansion), GAU("squared_relu", expansion)
    weights, x = drawn(mixer), text()
    weights["bias"].zero_()
    of_gau = weights | {name: weights[name][:2] for name in ("scales", "offsets")}
    wanted = mixed(x, gau, of_gau)
    for mode in mixer.modes:
        torch.testing.assert_close(mixed(x, mixer, weights, mode=mode), wanted, rtol=1e-10, atol=1e-12)


def test_the_state_does_not_grow() -> None:
    mixer = FLASH(4)
    weights = drawn(mixer)
    sizes = []
    for tokens in (5, 405):
        state = mix(text(tokens), mixer, weights, output_final_state=True)[1]
        assert state is not None
        sizes.append(state.nbytes)
    assert sizes[0] == sizes[1]


def test_outputs_keep_their_size_in_long_texts() -> None:
    """Every part is an average over the tokens that it reads."""
    weights, x = drawn(FLASH(8)), text(tokens=4096, batch=1)
    size = mixed(x, FLASH(8), weights).square().mean(-1).sqrt()[0]
    early, late = float(size[8:264].mean()), float(size[-256:].mean())
    assert 0.5 < late / early < 2.0


def test_refusals() -> None:
    with pytest.raises(SchemeError, match="flash: chunk must be at least 1, got 0"):
        FLASH(0)
    with pytest.raises(SchemeError, match="flash: expansion must be at least 1, got 0"):
        FLASH(expansion=0)
    with pytest.raises(SchemeError, match="flash rotates pairs of channels: head_dim must be even, got 3"):
        FLASH().initial_weights(2, 3)
