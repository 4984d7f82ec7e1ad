"""Chunks of any size are the loop over S_t = γ S_{t−1} + k_tᵀ v_t."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from longspan.catalogue import mixers
from longspan.compute.mix import mix
from longspan.compute.recurrence.chunks import STRIP, chunk_recurrence
from longspan.errors import ShapeError
from longspan.geometry import Geometry
from longspan.slots import Mixer


@given(tokens=st.integers(1, 20), chunk=st.integers(1, 24), seed=st.integers(0, 2**31))
def test_is_the_loop(tokens: int, chunk: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, 2, 3, tokens, 4, dtype=torch.float64, generator=generator).unbind(0)
    decay = torch.rand(3, dtype=torch.float64, generator=generator)
    state = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator)
    found, after = chunk_recurrence(query, key, value, decay, state, chunk)
    for t in range(tokens):
        state = decay[:, None, None] * state + key[:, :, t, :, None] * value[:, :, t, None]
        torch.testing.assert_close(found[:, :, t], (query[:, :, t, None] @ state)[:, :, 0], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(after, state, rtol=1e-11, atol=1e-12)


def test_a_chunk_of_nothing_is_refused() -> None:
    x = torch.ones(1, 1, 2, 1)
    with pytest.raises(ShapeError, match="a chunk must have at least 1 token, got 0"):
        chunk_recurrence(x, x, x, torch.ones(1), torch.ones(1, 1, 1, 1), 0)


class Largest(TorchDispatchMode):
    """The most numbers of a tensor that any operation makes, those of the length of the text left out."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens, self.numbers = tokens, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, torch.Tensor) and each.shape[:2] != (1, self.tokens):
                self.numbers = max(self.numbers, each.numel())
        return out


IN_STRIPS = ["linear_attention", "performer", "cosformer", "retnet", "permuteformer", "mamba"]


@pytest.mark.parametrize("name", [*IN_STRIPS, "mega"])
def test_strips_are_the_definition(name: str) -> None:
    """Three strips and a part of one, after a state."""
    mixer = mixers()[name]().fill(Geometry(2, 2, 8, trained_length=64), 64)
    assert isinstance(mixer, Mixer)
    generator = torch.Generator().manual_seed(0)
    weights = {key: value.double() for key, value in mixer.initial_weights(2, 8, generator).items()}
    x = torch.randn(2, 3 * STRIP + 10, 16, dtype=torch.float64, generator=generator)
    wanted, after = mix(x, mixer, weights, mode="recurrent", output_final_state=True)
    first, state = mix(x[:, :5], mixer, weights, output_final_state=True)
    second, state = mix(x[:, 5:], mixer, weights, initial_state=state, mode="chunk", chunk=1, output_final_state=True)
    torch.testing.assert_close(torch.cat([first, second], 1), wanted, rtol=1e-9, atol=1e-10)
    assert state is not None
    assert after is not None
    for key, value in after.groups[0].tensors.items():
        torch.testing.assert_close(state.groups[0].tensors[key], value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", IN_STRIPS)
def test_nothing_but_the_output_grows_with_the_text(name: str) -> None:
    """Queries, keys and permutations are made strip by strip, so that they stay in the caches of the processor."""
    mixer = mixers()[name]().fill(Geometry(2, 2, 8, trained_length=64), 64)
    assert isinstance(mixer, Mixer)
    weights, found = mixer.initial_weights(2, 8), []
    for tokens in (4 * STRIP, 20 * STRIP):
        with Largest(tokens) as largest:
            mix(torch.randn(1, tokens, 16), mixer, weights, mode="chunk", chunk=2)
        found.append(largest.numbers)
    assert found[0] == found[1]
