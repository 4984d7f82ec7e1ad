"""Dual chunk attention is the authors' loop over chunks: inside, successive and inter-chunk attention, merged."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from by_hand import BACKENDS, drawn, scores, tensors
from longspan import Geometry, attend, parse
from longspan.distance.dual_chunk import DualChunk
from longspan.errors import SchemeError

PLACES = 50


def by_chunks(q: np.ndarray, k: np.ndarray, v: np.ndarray, chunk: int, local: int) -> np.ndarray:
    """Attention per chunk of queries; pieces merged by their sums of exponentials."""
    size = chunk - local
    table = np.arange(size)
    next_table = np.minimum(table + size, chunk)
    out = np.zeros_like(v)
    for begin in range(0, len(q), size):
        rows = slice(begin, min(begin + size, len(q)))
        count = rows.stop - rows.start
        pieces = [(slice(begin, rows.stop), table[:count], True)]
        if begin >= size:
            pieces.append((slice(begin - size, begin), next_table[:count], False))
        if begin >= 2 * size:
            pieces.append((slice(0, begin - size), np.full(count, next_table[-1]), False))
        mass, total = np.zeros((count, 1)), np.zeros((count, v.shape[1]))
        for keys, places, causal in pieces:
            weight = np.exp(scores(q[rows], k[keys], places, np.arange(len(q))[keys] % size))
            weight = np.tril(weight) if causal else weight
            mass += weight.sum(1, keepdims=True)
            total += weight @ v[keys]
        out[rows] = total / mass
    return out


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("chunk", "local"), [(12, 2), (9, 1), (7, 0), (40, 3)])
def test_attention_is_the_chunk_loop(backend: str, chunk: int, local: int) -> None:
    q, k, v = drawn(PLACES)
    out = attend(*tensors(q, k, v), parse(f"dual_chunk({chunk}, {local})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, by_chunks(q, k, v, chunk, local), rtol=0, atol=1e-13)


@pytest.mark.parametrize("prompt", [10, 20, 21, 35, PLACES])
def test_with_the_gain_a_row_is_the_authors_on_a_prompt_that_ends_there(prompt: int) -> None:
    """Their cosines and sines, of queries and of keys, are multiplied by 0.05 ln(N / L) + 1, N the prompt's tokens."""
    q, k, v = drawn(PLACES)
    gain = 0.05 * np.log(max(1.0, prompt / 20)) + 1
    wanted = by_chunks(gain * q[:prompt], gain * k[:prompt], v[:prompt], 12, 2)[-1]
    out = attend(*tensors(q, k, v), "dual_chunk(12, 2) + log_length(20, form=gain)")[0, 0].numpy()
    np.testing.assert_allclose(out[prompt - 1], wanted, rtol=0, atol=1e-13)


@given(chunk=st.integers(1, 40), data=st.data())
def test_earlier_chunks_are_nearer_in_the_authors_code_where_half_the_chunk_or_more_is_local(
    chunk: int, data: st.DataObject
) -> None:
    """Their table of query positions ends at min(2t − 1, c), which is short of c where 2l ≥ c."""
    local = data.draw(st.integers(0, chunk - 1))
    distance = DualChunk(chunk, local)
    query = data.draw(st.integers(2 * distance.period, 200))
    first = int(distance(torch.tensor(query), torch.tensor(0)))
    theirs = min(2 * distance.period - 1, chunk)
    assert first == chunk
    assert (theirs == first) == (2 * local < chunk)


def said(m: int, n: int, chunk: int, local: int) -> int:
    size = chunk - local
    if m // size == n // size:
        return m - n
    if m // size == n // size + 1:
        return min(size + m % size, chunk) - n % size
    return chunk - n % size


def test_distance_matrix() -> None:
    i, j = np.indices((PLACES, PLACES))
    got = DualChunk(12, 4)(torch.from_numpy(i), torch.from_numpy(j)).numpy()
    for m in range(PLACES):
        for n in range(m + 1):
            assert got[m, n] == said(m, n, 12, 4)


def test_chunks_of_one_token() -> None:
    """The smallest chunk: every other token is one away."""
    i, j = (torch.from_numpy(x) for x in np.indices((6, 6)))
    assert torch.equal(DualChunk(1, 0)(i, j)[i >= j], (i - j).clamp(max=1)[i >= j])


def test_distances_stay_within_the_chunk() -> None:
    i, j = (torch.from_numpy(x) for x in np.indices((200, 200)))
    distance = DualChunk(12, 4)(i, j)[i >= j]
    assert distance.min() == 0
    assert distance.max() == 12


def test_the_end_of_the_previous_chunk_is_at_its_true_distance() -> None:
    """All of the previous chunk for the first l + 1 queries of a chunk, its last tokens for the others."""
    i, j = (torch.from_numpy(x) for x in np.indices((8 * 5, 8 * 5)))
    distance, true = DualChunk(12, 4)(i, j), i - j
    previous = i // 8 - j // 8 == 1
    exact = previous & (i % 8 <= 4)
    assert torch.equal(distance[exact], true[exact])
    assert (distance[previous & (i % 8 > 4)] < true[previous & (i % 8 > 4)]).all()


def test_one_chunk_is_rope() -> None:
    q, k, v = tensors(*drawn(PLACES))
    assert torch.equal(
        attend(q, k, v, f"dual_chunk({PLACES + 4}, 4)", backend="reference"),
        attend(q, k, v, "rope", backend="reference"),
    )
    assert DualChunk(PLACES + 4, 4).changes_nothing(PLACES)
    assert not DualChunk(PLACES + 3, 4).changes_nothing(PLACES)
    assert not DualChunk().changes_nothing(1)


def test_fill_and_refusals() -> None:
    assert DualChunk().fill(Geometry(8, 8, 16, trained_length=4096), 16384) == DualChunk(3072, 512)
    assert DualChunk(100).fill(Geometry(8, 8, 16, trained_length=64), 100) == DualChunk(100, 8)
    assert DualChunk(512).fill(Geometry(8, 8, 16, trained_length=8192), 32768) == DualChunk(512, 256)
    with pytest.raises(SchemeError, match="local must be below chunk = 4, got 4"):
        DualChunk(4, 4)
    with pytest.raises(SchemeError, match="chunk must be at least 1, got 0"):
        DualChunk(0)
    with pytest.raises(SchemeError, match="local must be at least 0, got -1"):
        DualChunk(4, -1)
    with pytest.raises(SchemeError, match="dual_chunk is causal only"):
        parse("dual_chunk(4, 2) + bidirectional")
    with pytest.raises(SchemeError, match="dual_chunk needs chunk"):
        DualChunk()(torch.tensor(1), torch.tensor(0))


@given(st.integers(1, 3000), st.integers(1, 10000))
def test_an_open_local_fits_every_chunk(chunk: int, trained_length: int) -> None:
    filled = DualChunk(chunk).fill(Geometry(8, 8, 16, trained_length=trained_length), 16384)
    assert 0 <= filled.known(filled.local, "local") <= chunk / 2
    assert filled.period >= 1
