"""Chunks of any size are the loop over S_t = γ S_{t−1} + k_tᵀ v_t."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.compute.recurrence.chunks import chunk_recurrence
from longspan.errors import ShapeError


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
